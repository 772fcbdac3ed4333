// Memory that the kernel stores into between the calls of the program, or on behalf of another
// thread: lent for longer, if it lies in an object that may be meshed.
//
//   setvbuf and its kin   a stream's buffer that the program brings, or the one byte in the stream;
//                         until fclose or pclose
//   sigaltstack           where signal frames are pushed; until there is another
//   pthread_mutex_init    words of mutexes that the kernel hands over: priority-inheriting ones are
//                         lent; robust ones, whose sleepers it knows by the memory behind them, are
//                         pinned; until pthread_mutex_destroy
//   syscall(SYS_rseq)     where the kernel says on which processor the thread runs; until it is
//                         registered no more (interpose_syscall.cc)
//   aio_read, lio_listio  reads by threads inside libc; for ever
//   mprotect and its kin  pages of small objects that the program protects are pinned; for ever
//
// Room: libmesh. Thread rule: any thread; sigaltstack also inside signal handlers.
#include <aio.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>

#include "src/libmesh/export.h"
#include "src/libmesh/loan.h"
#include "src/libmesh/private_attributes.h"
#include "src/libmesh/real.h"
#include "src/runtime/hooks.h"

namespace mesh {
namespace {

void Lend(const void* address, size_t length) {
  LendStanding({reinterpret_cast<uintptr_t>(address), length});
}

// What the stream will be read through from now on.
void LendBuffer(const FILE* stream) {
  // _IO_NO_READS of libio: opened for writing only.
  constexpr int kWriteOnly = 4;
  if ((stream->_flags & kWriteOnly) != 0) return;
  Lend(stream->_IO_buf_base, static_cast<size_t>(stream->_IO_buf_end - stream->_IO_buf_base));
}

// A mutex whose word the kernel writes.
void LendMutex(const pthread_mutex_t* mutex, const pthread_mutexattr_t* attributes) {
  if (attributes == nullptr) return;
  int protocol = PTHREAD_PRIO_NONE;
  int robust = PTHREAD_MUTEX_STALLED;
  pthread_mutexattr_getprotocol(attributes, &protocol);
  pthread_mutexattr_getrobust(attributes, &robust);
  if (robust == PTHREAD_MUTEX_ROBUST) {
    PinStanding({reinterpret_cast<uintptr_t>(mutex), sizeof(*mutex)});
  } else if (protocol == PTHREAD_PRIO_INHERIT) {
    Lend(mutex, sizeof(*mutex));
  }
}

template <typename Request>
int Read(RealId id, Request* request) {
  Lend(const_cast<void*>(request->aio_buf), request->aio_nbytes);
  return CallReal<int(Request*)>(id, request);
}

template <typename Request>
int ReadList(RealId id, int mode, Request* const* requests, int count, struct sigevent* event) {
  for (int i = 0; i < count; i++) {
    if (requests[i] == nullptr || requests[i]->aio_lio_opcode != LIO_READ) continue;
    Lend(const_cast<void*>(requests[i]->aio_buf), requests[i]->aio_nbytes);
  }
  return CallReal<int(int, Request* const*, int, struct sigevent*)>(id, mode, requests, count,
                                                                    event);
}

}  // namespace
}  // namespace mesh

using mesh::CallReal;
using mesh::RealId;

MESH_EXPORT int setvbuf(FILE* stream, char* buffer, int mode, size_t size) noexcept {
  int result =
      CallReal<int(FILE*, char*, int, size_t)>(RealId::setvbuf, stream, buffer, mode, size);
  mesh::LendBuffer(stream);
  return result;
}

MESH_EXPORT void setbuf(FILE* stream, char* buffer) noexcept {
  CallReal<void(FILE*, char*)>(RealId::setbuf, stream, buffer);
  mesh::LendBuffer(stream);
}

MESH_EXPORT void setbuffer(FILE* stream, char* buffer, size_t size) noexcept {
  CallReal<void(FILE*, char*, size_t)>(RealId::setbuffer, stream, buffer, size);
  mesh::LendBuffer(stream);
}

MESH_EXPORT int fclose(FILE* stream) {
  mesh::EndStanding(stream->_IO_buf_base);
  return CallReal<int(FILE*)>(RealId::fclose, stream);
}

MESH_EXPORT int pclose(FILE* stream) {
  mesh::EndStanding(stream->_IO_buf_base);
  return CallReal<int(FILE*)>(RealId::pclose, stream);
}

MESH_EXPORT int sigaltstack(const stack_t* stack, stack_t* before) noexcept {
  auto* libcs = mesh::RealFunction<int(const stack_t*, stack_t*)>(RealId::sigaltstack);
  stack_t old = {};
  bool sets = mesh::Loan::CanRead(stack, sizeof(*stack)) && libcs(nullptr, &old) == 0;
  if (sets && (stack->ss_flags & SS_DISABLE) == 0) mesh::Lend(stack->ss_sp, stack->ss_size);
  mesh::Loan loan;
  if (mesh::IsPublishing()) loan.Object(before).Lend();
  int result = libcs(stack, before);
  if (sets && result == 0 && (old.ss_flags & SS_DISABLE) == 0) mesh::EndStanding(old.ss_sp);
  return result;
}

MESH_EXPORT int pthread_mutex_init(pthread_mutex_t* mutex,
                                   const pthread_mutexattr_t* attributes) noexcept {
  mesh::LendMutex(mutex, attributes);
  mesh::PrivateAttributes own(mutex, attributes, pthread_mutexattr_setpshared);
  return CallReal<int(pthread_mutex_t*, const pthread_mutexattr_t*)>(RealId::pthread_mutex_init,
                                                                     mutex, own.get());
}

MESH_EXPORT int pthread_mutex_destroy(pthread_mutex_t* mutex) noexcept {
  mesh::EndStanding(mutex);
  return CallReal<int(pthread_mutex_t*)>(RealId::pthread_mutex_destroy, mutex);
}

MESH_EXPORT int mprotect(void* address, size_t length, int protection) noexcept {
  mesh::ProtectionComing({reinterpret_cast<uintptr_t>(address), length});
  return CallReal<int(void*, size_t, int)>(RealId::mprotect, address, length, protection);
}

MESH_EXPORT int pkey_mprotect(void* address, size_t length, int protection, int key) noexcept {
  mesh::ProtectionComing({reinterpret_cast<uintptr_t>(address), length});
  return CallReal<int(void*, size_t, int, int)>(RealId::pkey_mprotect, address, length, protection,
                                                key);
}

MESH_EXPORT int aio_read(struct aiocb* request) noexcept {
  return mesh::Read(RealId::aio_read, request);
}

MESH_EXPORT int aio_read64(struct aiocb64* request) noexcept {
  return mesh::Read(RealId::aio_read64, request);
}

MESH_EXPORT int lio_listio(int mode, struct aiocb* const* requests, int count,
                           struct sigevent* event) noexcept {
  return mesh::ReadList(RealId::lio_listio, mode, requests, count, event);
}

MESH_EXPORT int lio_listio64(int mode, struct aiocb64* const* requests, int count,
                             struct sigevent* event) noexcept {
  return mesh::ReadList(RealId::lio_listio64, mode, requests, count, event);
}
