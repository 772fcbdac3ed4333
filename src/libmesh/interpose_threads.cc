// Calls by which threads come, and those that a process with one thread alone may make, or that
// concern the calling thread alone: the program must find as many threads as it has made.
//
// Room: libmesh. Thread rule: any thread.
#include <linux/capability.h>
#include <pthread.h>
#include <sched.h>
#include <threads.h>

#include "src/libmesh/export.h"
#include "src/libmesh/real.h"
#include "src/runtime/hooks.h"

using mesh::CallReal;
using mesh::RealFunction;
using mesh::RealId;

MESH_EXPORT int pthread_create(pthread_t* thread, const pthread_attr_t* attributes,
                               void* (*function)(void*), void* argument) noexcept {
  return mesh::CreateThread(RealFunction<mesh::ThreadCreator>(RealId::pthread_create), thread,
                            attributes, function, argument);
}

// libc's does not come by the name above.
MESH_EXPORT int thrd_create(thrd_t* thread, thrd_start_t function, void* argument) {
  return mesh::CreateC11Thread(RealFunction<mesh::C11ThreadCreator>(RealId::thrd_create),
                               RealFunction<mesh::ThreadCreator>(RealId::pthread_create), thread,
                               function, argument);
}

MESH_EXPORT int unshare(int flags) noexcept {
  mesh::BeforeSoleThreadCall();
  return CallReal<decltype(unshare)>(RealId::unshare, flags);
}

MESH_EXPORT int setns(int file, int kind) noexcept {
  mesh::BeforeSoleThreadCall();
  return CallReal<decltype(setns)>(RealId::setns, file, kind);
}

extern "C" int capset(struct __user_cap_header_struct* header, const void* data) noexcept;
MESH_EXPORT int capset(struct __user_cap_header_struct* header, const void* data) noexcept {
  mesh::BeforeSoleThreadCall();
  return CallReal<decltype(capset)>(RealId::capset, header, data);
}
