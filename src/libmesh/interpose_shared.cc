// Objects of threads that are made for several processes to share, in memory that they do not
// share.
//
// The kernel knows the sleepers of such an object by the memory behind it, not by its address, and
// a mesh changes that memory: nobody would wake them. The heap is private memory, so whoever sleeps
// there is of this process, and an object for this process alone does all that was asked for.
// (The kernel knows robust mutexes by their memory whatever is asked for: interpose_lent.cc.)
//
// Room: libmesh. Thread rule: any thread.
#include <pthread.h>
#include <semaphore.h>

#include "src/libmesh/export.h"
#include "src/libmesh/private_attributes.h"
#include "src/libmesh/real.h"
#include "src/runtime/hooks.h"

using mesh::CallReal;
using mesh::MayBeMeshed;
using mesh::PrivateAttributes;
using mesh::RealId;

MESH_EXPORT int sem_init(sem_t* semaphore, int shared, unsigned int value) noexcept {
  if (MayBeMeshed(semaphore)) shared = 0;
  return CallReal<int(sem_t*, int, unsigned int)>(RealId::sem_init, semaphore, shared, value);
}

MESH_EXPORT int pthread_cond_init(pthread_cond_t* condition,
                                  const pthread_condattr_t* attributes) noexcept {
  PrivateAttributes own(condition, attributes, pthread_condattr_setpshared);
  return CallReal<int(pthread_cond_t*, const pthread_condattr_t*)>(RealId::pthread_cond_init,
                                                                   condition, own.get());
}

MESH_EXPORT int pthread_rwlock_init(pthread_rwlock_t* lock,
                                    const pthread_rwlockattr_t* attributes) noexcept {
  PrivateAttributes own(lock, attributes, pthread_rwlockattr_setpshared);
  return CallReal<int(pthread_rwlock_t*, const pthread_rwlockattr_t*)>(RealId::pthread_rwlock_init,
                                                                       lock, own.get());
}

MESH_EXPORT int pthread_barrier_init(pthread_barrier_t* barrier,
                                     const pthread_barrierattr_t* attributes,
                                     unsigned int count) noexcept {
  PrivateAttributes own(barrier, attributes, pthread_barrierattr_setpshared);
  return CallReal<int(pthread_barrier_t*, const pthread_barrierattr_t*, unsigned int)>(
      RealId::pthread_barrier_init, barrier, own.get(), count);
}
