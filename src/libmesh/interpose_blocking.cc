// Calls that may put the thread to sleep for long: the moment before is a good one to mesh.
//
// A call that cannot wait (timeout 0) is passed on at once. These are cancellation points, so the
// real function is called as the last thing and nothing is held.
// Room: libmesh. Thread rule: any thread; poll and select also inside signal handlers.
#include <poll.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <time.h>
#include <unistd.h>

#include "src/libmesh/export.h"
#include "src/libmesh/real.h"
#include "src/runtime/hooks.h"

extern "C" {
int __poll_chk(struct pollfd* fds, nfds_t count, int timeout_ms, size_t fds_size);
int __ppoll_chk(struct pollfd* fds, nfds_t count, const struct timespec* timeout,
                const sigset_t* mask, size_t fds_size);
}

namespace mesh {
namespace {

bool IsZero(const struct timespec* time) {
  return time != nullptr && time->tv_sec == 0 && time->tv_nsec == 0;
}

bool IsZero(const struct timeval* time) {
  return time != nullptr && time->tv_sec == 0 && time->tv_usec == 0;
}

void MayBlock(bool may_block) {
  if (may_block) BeforeBlocking();
}

}  // namespace
}  // namespace mesh

using mesh::CallReal;
using mesh::IsZero;
using mesh::MayBlock;
using mesh::RealId;

MESH_EXPORT int epoll_wait(int epoll, struct epoll_event* events, int count, int timeout_ms) {
  MayBlock(timeout_ms != 0);
  return CallReal<decltype(epoll_wait)>(RealId::epoll_wait, epoll, events, count, timeout_ms);
}

MESH_EXPORT int epoll_pwait(int epoll, struct epoll_event* events, int count, int timeout_ms,
                            const sigset_t* mask) {
  MayBlock(timeout_ms != 0);
  return CallReal<decltype(epoll_pwait)>(RealId::epoll_pwait, epoll, events, count, timeout_ms,
                                         mask);
}

MESH_EXPORT int epoll_pwait2(int epoll, struct epoll_event* events, int count,
                             const struct timespec* timeout, const sigset_t* mask) {
  MayBlock(!IsZero(timeout));
  return CallReal<decltype(epoll_pwait2)>(RealId::epoll_pwait2, epoll, events, count, timeout,
                                          mask);
}

MESH_EXPORT int poll(struct pollfd* fds, nfds_t count, int timeout_ms) {
  MayBlock(timeout_ms != 0);
  return CallReal<decltype(poll)>(RealId::poll, fds, count, timeout_ms);
}

// What programs built with _FORTIFY_SOURCE call for poll and ppoll.
MESH_EXPORT int __poll_chk(struct pollfd* fds, nfds_t count, int timeout_ms, size_t fds_size) {
  MayBlock(timeout_ms != 0);
  return CallReal<decltype(__poll_chk)>(RealId::__poll_chk, fds, count, timeout_ms, fds_size);
}

MESH_EXPORT int ppoll(struct pollfd* fds, nfds_t count, const struct timespec* timeout,
                      const sigset_t* mask) {
  MayBlock(!IsZero(timeout));
  return CallReal<decltype(ppoll)>(RealId::ppoll, fds, count, timeout, mask);
}

MESH_EXPORT int __ppoll_chk(struct pollfd* fds, nfds_t count, const struct timespec* timeout,
                            const sigset_t* mask, size_t fds_size) {
  MayBlock(!IsZero(timeout));
  return CallReal<decltype(__ppoll_chk)>(RealId::__ppoll_chk, fds, count, timeout, mask, fds_size);
}

MESH_EXPORT int select(int count, fd_set* readable, fd_set* writable, fd_set* exceptional,
                       struct timeval* timeout) {
  MayBlock(!IsZero(timeout));
  return CallReal<decltype(select)>(RealId::select, count, readable, writable, exceptional,
                                    timeout);
}

MESH_EXPORT int pselect(int count, fd_set* readable, fd_set* writable, fd_set* exceptional,
                        const struct timespec* timeout, const sigset_t* mask) {
  MayBlock(!IsZero(timeout));
  return CallReal<decltype(pselect)>(RealId::pselect, count, readable, writable, exceptional,
                                     timeout, mask);
}

MESH_EXPORT int nanosleep(const struct timespec* time, struct timespec* rest) {
  MayBlock(true);
  return CallReal<decltype(nanosleep)>(RealId::nanosleep, time, rest);
}

MESH_EXPORT int clock_nanosleep(clockid_t clock, int flags, const struct timespec* time,
                                struct timespec* rest) {
  MayBlock(true);
  return CallReal<decltype(clock_nanosleep)>(RealId::clock_nanosleep, clock, flags, time, rest);
}

MESH_EXPORT int usleep(useconds_t time_us) {
  MayBlock(time_us != 0);
  return CallReal<decltype(usleep)>(RealId::usleep, time_us);
}

MESH_EXPORT unsigned int sleep(unsigned int time_s) {
  MayBlock(time_s != 0);
  return CallReal<decltype(sleep)>(RealId::sleep, time_s);
}
