// Calls that may put the thread to sleep for long: time in which the allocator can work.
//
// Work is done in slices of a millisecond. Between two of them the call is made without waiting, so
// that what the program waits for is seen at once; what has come is handed to the program as the
// call gave it, and nothing is asked twice. The time spent is taken off the wait. Who has nothing
// to do makes the program's call and no other.
// Room: libmesh. Thread rule: any thread; poll and select also inside signal handlers.
#include <poll.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <time.h>
#include <unistd.h>

#include <climits>
#include <cstring>

#include "src/base/units.h"
#include "src/libmesh/export.h"
#include "src/libmesh/loan.h"
#include "src/libmesh/real.h"
#include "src/runtime/hooks.h"

namespace mesh {
namespace {

// Longer waits are for ever as far as we are concerned, so that no sum overflows.
constexpr int64_t kMostSeconds = int64_t{1} << 32;

// Wait times as nanoseconds; kForever also for what is longer than anyone waits.
uint64_t FromMs(int ms) { return ms < 0 ? Doze::kForever : static_cast<uint64_t>(ms) * kNsPerMs; }

template <typename Time>
bool IsValid(const Time* time, long one_second) {
  if (time == nullptr) return true;
  const auto [seconds, part] = *time;
  return seconds >= 0 && part >= 0 && part < one_second;
}
bool IsValid(const struct timespec* time) { return IsValid(time, kNsPerSecond); }
bool IsValid(const struct timeval* time) { return IsValid(time, kNsPerSecond / kNsPerUs); }

uint64_t ToNs(const struct timespec* time) {
  if (time == nullptr || time->tv_sec > kMostSeconds) return Doze::kForever;
  return static_cast<uint64_t>(time->tv_sec) * kNsPerSecond + static_cast<uint64_t>(time->tv_nsec);
}
uint64_t ToNs(const struct timeval* time) {
  if (time == nullptr || time->tv_sec > kMostSeconds) return Doze::kForever;
  return static_cast<uint64_t>(time->tv_sec) * kNsPerSecond +
         static_cast<uint64_t>(time->tv_usec) * kNsPerUs;
}

// And back. Never less than was meant.
int ToMs(uint64_t ns) {
  if (ns == Doze::kForever) return -1;
  uint64_t ms = (ns + kNsPerMs - 1) / kNsPerMs;
  return ms > INT_MAX ? INT_MAX : static_cast<int>(ms);
}
struct timespec ToTimespec(uint64_t ns) {
  return {static_cast<time_t>(ns / kNsPerSecond), static_cast<long>(ns % kNsPerSecond)};
}
struct timeval ToTimeval(uint64_t ns) {
  ns += kNsPerUs - 1;
  return {static_cast<time_t>(ns / kNsPerSecond),
          static_cast<suseconds_t>(ns % kNsPerSecond / kNsPerUs)};
}

// A timeout of a piece of the wait, for calls that take a pointer: null for ever.
struct Timespec {
  explicit Timespec(uint64_t ns) : is_forever(ns == Doze::kForever), time(ToTimespec(ns)) {}
  const struct timespec* get() const { return is_forever ? nullptr : &time; }
  const bool is_forever;
  const struct timespec time;
};

// Waits in pieces: `call(ns, doze)` is libc's call for one of them, which returns 0 when its time
// is over.
template <typename Call>
int InPieces(uint64_t longest_ns, Call call) {
  Doze doze(longest_ns);
  int result = 0;
  do {
    uint64_t ns = doze.NextWait();
    result = call(ns, doze);
  } while (result == 0 && !doze.is_over());
  return result;
}

// The same for sleeps, which need no look.
template <typename Call>
int SleepInPieces(uint64_t longest_ns, Call call) {
  return InPieces(longest_ns, [&](uint64_t ns, const Doze& doze) {
    return ns == 0 && !doze.is_over() ? 0 : call(ns, doze);
  });
}

int RealNanosleep(uint64_t ns) {
  const struct timespec piece = ToTimespec(ns);
  return CallReal<decltype(nanosleep)>(RealId::nanosleep, &piece, nullptr);
}

// The sets of select(), which it overwrites even when nothing has come.
class FileSets {
 public:
  // More than this no set on the stack can hold.
  static constexpr int kMostFiles = FD_SETSIZE;

  FileSets(int count, fd_set* readable, fd_set* writable, fd_set* exceptional)
      : bytes_((static_cast<size_t>(count) + NFDBITS - 1) / NFDBITS * sizeof(fd_mask)),
        sets_{readable, writable, exceptional} {
    for (int i = 0; i < 3; i++) {
      if (sets_[i] != nullptr && bytes_ > 0) memcpy(&copies_[i], sets_[i], bytes_);
    }
  }
  fd_set* copy(int i) { return sets_[i] != nullptr ? &copies_[i] : nullptr; }
  void HandOut() {
    for (int i = 0; i < 3; i++) {
      if (sets_[i] != nullptr && bytes_ > 0) memcpy(sets_[i], &copies_[i], bytes_);
    }
  }

 private:
  const size_t bytes_;
  fd_set* const sets_[3];
  fd_set copies_[3];
};

// Whether the sets can be copied before the kernel has looked at them. [L1] of loan.h
bool CanCopy(int count, const fd_set* const (&sets)[3]) {
  if (count < 0 || count > FileSets::kMostFiles) return false;
  const size_t bytes = (static_cast<size_t>(count) + NFDBITS - 1) / NFDBITS * sizeof(fd_mask);
  for (const fd_set* set : sets) {
    if (set != nullptr && bytes > 0 && !Loan::CanRead(set, bytes)) return false;
  }
  return true;
}

// select() and pselect(): `call(sets..., ns)` waits for a piece, `plain()` is the program's call.
template <typename Call, typename Plain>
int SelectInPieces(uint64_t longest_ns, int count, fd_set* readable, fd_set* writable,
                   fd_set* exceptional, Call call, Plain plain) {
  Doze doze(longest_ns);
  while (true) {
    uint64_t ns = doze.NextWait();
    if (doze.is_plain() || !CanCopy(count, {readable, writable, exceptional})) return plain();
    FileSets sets(count, readable, writable, exceptional);
    int result = call(sets.copy(0), sets.copy(1), sets.copy(2), ns, doze);
    if (result == 0 && !doze.is_over()) continue;
    if (result >= 0) sets.HandOut();
    return result;
  }
}

void Lend(Loan& loan, const void* memory, size_t length) {
  if (IsPublishing()) loan.Bytes(memory, length);
  loan.Lend();
}

// Calls that write `count` records: each piece lends them. `call(ms)` is libc's, and the program's
// with its own time-out.
template <typename Record, typename Call>
int WaitMs(const Record* records, size_t count, int timeout_ms, Call call) {
  auto lending = [&](int ms) {
    Loan loan;
    Lend(loan, records, count * sizeof(Record));
    return call(ms);
  };
  if (timeout_ms == 0) return lending(0);
  return InPieces(FromMs(timeout_ms), [&](uint64_t ns, const Doze&) { return lending(ToMs(ns)); });
}

// The same with a struct timespec; null waits for ever, and what is no time is libc's to refuse.
template <typename Record, typename Call>
int WaitFor(const Record* records, size_t count, const struct timespec* timeout, Call call) {
  auto lending = [&](const struct timespec* time) {
    Loan loan;
    Lend(loan, records, count * sizeof(Record));
    return call(time);
  };
  if (!IsValid(timeout) || ToNs(timeout) == 0) return lending(timeout);
  return InPieces(ToNs(timeout), [&](uint64_t ns, const Doze& doze) {
    return lending(doze.is_plain() ? timeout : Timespec(ns).get());
  });
}

}  // namespace
}  // namespace mesh

using mesh::CallReal;
using mesh::Doze;
using mesh::Loan;
using mesh::RealId;

MESH_EXPORT int epoll_wait(int epoll, struct epoll_event* events, int count, int timeout_ms) {
  return mesh::WaitMs(events, static_cast<size_t>(count), timeout_ms, [&](int ms) {
    return CallReal<decltype(epoll_wait)>(RealId::epoll_wait, epoll, events, count, ms);
  });
}

MESH_EXPORT int epoll_pwait(int epoll, struct epoll_event* events, int count, int timeout_ms,
                            const sigset_t* mask) {
  return mesh::WaitMs(events, static_cast<size_t>(count), timeout_ms, [&](int ms) {
    return CallReal<decltype(epoll_pwait)>(RealId::epoll_pwait, epoll, events, count, ms, mask);
  });
}

MESH_EXPORT int epoll_pwait2(int epoll, struct epoll_event* events, int count,
                             const struct timespec* timeout, const sigset_t* mask) {
  return mesh::WaitFor(events, static_cast<size_t>(count), timeout,
                       [&](const struct timespec* time) {
                         return CallReal<decltype(epoll_pwait2)>(RealId::epoll_pwait2, epoll,
                                                                 events, count, time, mask);
                       });
}

MESH_EXPORT int poll(struct pollfd* files, nfds_t count, int timeout_ms) {
  return mesh::WaitMs(files, count, timeout_ms, [&](int ms) {
    return CallReal<decltype(poll)>(RealId::poll, files, count, ms);
  });
}

// What programs built with _FORTIFY_SOURCE call.
extern "C" int __poll_chk(struct pollfd* files, nfds_t count, int timeout_ms, size_t room);
MESH_EXPORT int __poll_chk(struct pollfd* files, nfds_t count, int timeout_ms, size_t room) {
  return mesh::WaitMs(files, count, timeout_ms, [&](int ms) {
    return CallReal<decltype(__poll_chk)>(RealId::__poll_chk, files, count, ms, room);
  });
}

MESH_EXPORT int ppoll(struct pollfd* files, nfds_t count, const struct timespec* timeout,
                      const sigset_t* mask) {
  return mesh::WaitFor(files, count, timeout, [&](const struct timespec* time) {
    return CallReal<decltype(ppoll)>(RealId::ppoll, files, count, time, mask);
  });
}

extern "C" int __ppoll_chk(struct pollfd* files, nfds_t count, const struct timespec* timeout,
                           const sigset_t* mask, size_t room);
MESH_EXPORT int __ppoll_chk(struct pollfd* files, nfds_t count, const struct timespec* timeout,
                            const sigset_t* mask, size_t room) {
  return mesh::WaitFor(files, count, timeout, [&](const struct timespec* time) {
    return CallReal<decltype(__ppoll_chk)>(RealId::__ppoll_chk, files, count, time, mask, room);
  });
}

// A set may be longer than fd_set, but never longer than an object that is meshed.
MESH_EXPORT int select(int count, fd_set* readable, fd_set* writable, fd_set* exceptional,
                       struct timeval* timeout) {
  auto plain = [&] {
    Loan loan;
    if (mesh::IsPublishing()) {
      loan.Files(readable, count).Files(writable, count).Files(exceptional, count).Object(timeout);
    }
    loan.Lend();
    return CallReal<decltype(select)>(RealId::select, count, readable, writable, exceptional,
                                      timeout);
  };
  if (!mesh::IsValid(timeout) || mesh::ToNs(timeout) == 0) return plain();
  auto call = [&](fd_set* r, fd_set* w, fd_set* e, uint64_t ns, const Doze& doze) {
    struct timeval piece = mesh::ToTimeval(ns);
    int result = CallReal<decltype(select)>(RealId::select, count, r, w, e,
                                            ns == Doze::kForever ? nullptr : &piece);
    // Linux says what is left.
    if (timeout != nullptr) *timeout = mesh::ToTimeval(doze.left_ns());
    return result;
  };
  return mesh::SelectInPieces(mesh::ToNs(timeout), count, readable, writable, exceptional, call,
                              plain);
}

MESH_EXPORT int pselect(int count, fd_set* readable, fd_set* writable, fd_set* exceptional,
                        const struct timespec* timeout, const sigset_t* mask) {
  auto plain = [&] {
    Loan loan;
    if (mesh::IsPublishing()) {
      loan.Files(readable, count).Files(writable, count).Files(exceptional, count);
    }
    loan.Lend();
    return CallReal<decltype(pselect)>(RealId::pselect, count, readable, writable, exceptional,
                                       timeout, mask);
  };
  if (!mesh::IsValid(timeout) || mesh::ToNs(timeout) == 0) return plain();
  auto call = [&](fd_set* r, fd_set* w, fd_set* e, uint64_t ns, const Doze&) {
    return CallReal<decltype(pselect)>(RealId::pselect, count, r, w, e, mesh::Timespec(ns).get(),
                                       mask);
  };
  return mesh::SelectInPieces(mesh::ToNs(timeout), count, readable, writable, exceptional, call,
                              plain);
}

MESH_EXPORT int nanosleep(const struct timespec* time, struct timespec* rest) {
  auto plain = [&] {
    Loan loan;
    mesh::Lend(loan, rest, sizeof(*rest));
    return CallReal<decltype(nanosleep)>(RealId::nanosleep, time, rest);
  };
  if (time == nullptr || !mesh::IsValid(time)) return plain();
  return mesh::SleepInPieces(mesh::ToNs(time), [&](uint64_t ns, const Doze& doze) {
    if (doze.is_plain()) return plain();
    int result = mesh::RealNanosleep(ns);
    if (result != 0 && rest != nullptr) *rest = mesh::ToTimespec(doze.left_ns());
    return result;
  });
}

MESH_EXPORT int clock_nanosleep(clockid_t clock, int flags, const struct timespec* time,
                                struct timespec* rest) {
  auto plain = [&] {
    Loan loan;
    mesh::Lend(loan, rest, sizeof(*rest));
    return CallReal<decltype(clock_nanosleep)>(RealId::clock_nanosleep, clock, flags, time, rest);
  };
  const bool is_wall = clock == CLOCK_MONOTONIC || clock == CLOCK_REALTIME;
  if (time == nullptr || !is_wall || !mesh::IsValid(time)) return plain();
  uint64_t longest_ns = mesh::ToNs(time);
  if (flags == TIMER_ABSTIME) {
    struct timespec now;
    if (CallReal<decltype(clock_gettime)>(RealId::clock_gettime, clock, &now) != 0) return plain();
    uint64_t now_ns = mesh::ToNs(&now);
    longest_ns = longest_ns > now_ns ? longest_ns - now_ns : 0;
  } else if (flags != 0) {
    return plain();
  }
  return mesh::SleepInPieces(longest_ns, [&](uint64_t ns, const Doze& doze) {
    // By its clock, a time that was given as such is reached to the point.
    if (doze.is_plain() || (doze.is_over() && flags == TIMER_ABSTIME)) return plain();
    const struct timespec piece = mesh::ToTimespec(ns);
    int error =
        CallReal<decltype(clock_nanosleep)>(RealId::clock_nanosleep, clock, 0, &piece, nullptr);
    if (error == EINTR && flags == 0 && rest != nullptr) *rest = mesh::ToTimespec(doze.left_ns());
    return error;
  });
}

MESH_EXPORT int usleep(useconds_t time_us) {
  if (time_us == 0) return CallReal<decltype(usleep)>(RealId::usleep, time_us);
  return mesh::SleepInPieces(time_us * mesh::kNsPerUs, [&](uint64_t ns, const Doze& doze) {
    if (doze.is_plain()) return CallReal<decltype(usleep)>(RealId::usleep, time_us);
    return mesh::RealNanosleep(ns);
  });
}

MESH_EXPORT unsigned int sleep(unsigned int time_s) {
  if (time_s == 0) return CallReal<decltype(sleep)>(RealId::sleep, time_s);
  unsigned int left_s = 0;
  mesh::SleepInPieces(time_s * mesh::kNsPerSecond, [&](uint64_t ns, const Doze& doze) {
    if (doze.is_plain()) {
      left_s = CallReal<decltype(sleep)>(RealId::sleep, time_s);
      return 0;
    }
    int result = mesh::RealNanosleep(ns);
    if (result != 0) left_s = static_cast<unsigned int>(doze.left_ns() / mesh::kNsPerSecond);
    return result;
  });
  return left_s;
}
