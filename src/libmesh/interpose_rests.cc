// Calls in which a thread waits for another, often for as long as the program runs: what its heap
// holds is there for others meanwhile.
//
// (Waits for files and for time are in interpose_waits.cc. Waits for locks are short, and those
// that read from a socket are not looked at: nobody can tell from outside that they will be long.)
// Room: libmesh. Thread rule: any thread; all are cancellation points, as libc's are.
#include <pthread.h>
#include <semaphore.h>
#include <threads.h>
#include <time.h>

#include "src/libmesh/export.h"
#include "src/libmesh/real.h"
#include "src/runtime/hooks.h"

namespace mesh {
namespace {

template <typename Function, typename... Args>
auto Resting(RealId id, Args... args) {
  RestScope rest;
  return CallReal<Function>(id, args...);
}

}  // namespace
}  // namespace mesh

using mesh::RealId;
using mesh::Resting;

MESH_EXPORT int pthread_cond_wait(pthread_cond_t* condition, pthread_mutex_t* mutex) {
  return Resting<int(pthread_cond_t*, pthread_mutex_t*)>(RealId::pthread_cond_wait, condition,
                                                         mutex);
}

MESH_EXPORT int pthread_cond_timedwait(pthread_cond_t* condition, pthread_mutex_t* mutex,
                                       const struct timespec* until) {
  return Resting<int(pthread_cond_t*, pthread_mutex_t*, const struct timespec*)>(
      RealId::pthread_cond_timedwait, condition, mutex, until);
}

MESH_EXPORT int pthread_cond_clockwait(pthread_cond_t* condition, pthread_mutex_t* mutex,
                                       clockid_t clock, const struct timespec* until) {
  return Resting<int(pthread_cond_t*, pthread_mutex_t*, clockid_t, const struct timespec*)>(
      RealId::pthread_cond_clockwait, condition, mutex, clock, until);
}

MESH_EXPORT int sem_wait(sem_t* semaphore) {
  return Resting<int(sem_t*)>(RealId::sem_wait, semaphore);
}

MESH_EXPORT int sem_timedwait(sem_t* semaphore, const struct timespec* until) {
  return Resting<int(sem_t*, const struct timespec*)>(RealId::sem_timedwait, semaphore, until);
}

MESH_EXPORT int sem_clockwait(sem_t* semaphore, clockid_t clock, const struct timespec* until) {
  return Resting<int(sem_t*, clockid_t, const struct timespec*)>(RealId::sem_clockwait, semaphore,
                                                                 clock, until);
}

MESH_EXPORT int pthread_barrier_wait(pthread_barrier_t* barrier) noexcept {
  return Resting<int(pthread_barrier_t*)>(RealId::pthread_barrier_wait, barrier);
}

MESH_EXPORT int pthread_join(pthread_t thread, void** result) {
  return Resting<int(pthread_t, void**)>(RealId::pthread_join, thread, result);
}

MESH_EXPORT int pthread_timedjoin_np(pthread_t thread, void** result,
                                     const struct timespec* until) {
  return Resting<int(pthread_t, void**, const struct timespec*)>(RealId::pthread_timedjoin_np,
                                                                 thread, result, until);
}

MESH_EXPORT int pthread_clockjoin_np(pthread_t thread, void** result, clockid_t clock,
                                     const struct timespec* until) {
  return Resting<int(pthread_t, void**, clockid_t, const struct timespec*)>(
      RealId::pthread_clockjoin_np, thread, result, clock, until);
}

MESH_EXPORT int cnd_wait(cnd_t* condition, mtx_t* mutex) {
  return Resting<int(cnd_t*, mtx_t*)>(RealId::cnd_wait, condition, mutex);
}

MESH_EXPORT int cnd_timedwait(cnd_t* __restrict condition, mtx_t* __restrict mutex,
                              const struct timespec* __restrict until) {
  return Resting<int(cnd_t*, mtx_t*, const struct timespec*)>(RealId::cnd_timedwait, condition,
                                                              mutex, until);
}

MESH_EXPORT int thrd_join(thrd_t thread, int* result) {
  return Resting<int(thrd_t, int*)>(RealId::thrd_join, thread, result);
}
