// Threads that sleep on objects made for several processes to share, which lie in small objects: a
// wake-up finds them although the page was meshed meanwhile. The kernel knows such sleepers by the
// memory behind the object; those of a robust mutex too, whatever it was made for.
//
//   tier_shared semaphore|condition|barrier|rwlock|mutex|robust [nobody] [denied]
#include <semaphore.h>

#include "test/programs/sparse.h"
#include "test/programs/tier.h"

enum { kSleepers = 12, kRounds = 6, kHoles = 20 };

typedef struct {
  sem_t semaphore;
  pthread_barrier_t barrier;
  pthread_rwlock_t rwlock;
  pthread_mutex_t mutex;
  pthread_cond_t condition;
  int is_set;
} Object;

static const char* kind;
static atomic_int asleep;

static int Is(const char* name) { return strcmp(kind, name) == 0; }

static void Make(Object* object) {
  pthread_mutexattr_t mutex;
  REQUIRE(pthread_mutexattr_init(&mutex) == 0);
  if (Is("robust")) {
    REQUIRE(pthread_mutexattr_setrobust(&mutex, PTHREAD_MUTEX_ROBUST) == 0);
  } else {
    REQUIRE(pthread_mutexattr_setpshared(&mutex, PTHREAD_PROCESS_SHARED) == 0);
  }
  pthread_condattr_t condition;
  REQUIRE(pthread_condattr_init(&condition) == 0);
  REQUIRE(pthread_condattr_setpshared(&condition, PTHREAD_PROCESS_SHARED) == 0);
  pthread_barrierattr_t barrier;
  REQUIRE(pthread_barrierattr_init(&barrier) == 0);
  REQUIRE(pthread_barrierattr_setpshared(&barrier, PTHREAD_PROCESS_SHARED) == 0);
  pthread_rwlockattr_t rwlock;
  REQUIRE(pthread_rwlockattr_init(&rwlock) == 0);
  REQUIRE(pthread_rwlockattr_setpshared(&rwlock, PTHREAD_PROCESS_SHARED) == 0);
  object->is_set = 0;
  REQUIRE(sem_init(&object->semaphore, 1, 0) == 0);
  REQUIRE(pthread_barrier_init(&object->barrier, &barrier, 2) == 0);
  REQUIRE(pthread_rwlock_init(&object->rwlock, &rwlock) == 0);
  REQUIRE(pthread_mutex_init(&object->mutex, &mutex) == 0);
  REQUIRE(pthread_cond_init(&object->condition, &condition) == 0);
  if (Is("rwlock")) REQUIRE(pthread_rwlock_wrlock(&object->rwlock) == 0);
  if (Is("mutex") || Is("robust")) REQUIRE(pthread_mutex_lock(&object->mutex) == 0);
}

static void* Sleep(void* argument) {
  Object* object = argument;
  asleep++;
  if (Is("semaphore")) REQUIRE(sem_wait(&object->semaphore) == 0);
  if (Is("barrier")) pthread_barrier_wait(&object->barrier);
  if (Is("rwlock")) {
    REQUIRE(pthread_rwlock_rdlock(&object->rwlock) == 0);
    REQUIRE(pthread_rwlock_unlock(&object->rwlock) == 0);
  }
  if (Is("mutex") || Is("robust") || Is("condition")) {
    REQUIRE(pthread_mutex_lock(&object->mutex) == 0);
    while (Is("condition") && !object->is_set) {
      REQUIRE(pthread_cond_wait(&object->condition, &object->mutex) == 0);
    }
    REQUIRE(pthread_mutex_unlock(&object->mutex) == 0);
  }
  return NULL;
}

static void Wake(Object* object) {
  if (Is("semaphore")) REQUIRE(sem_post(&object->semaphore) == 0);
  if (Is("barrier")) pthread_barrier_wait(&object->barrier);
  if (Is("rwlock")) REQUIRE(pthread_rwlock_unlock(&object->rwlock) == 0);
  if (Is("mutex") || Is("robust")) REQUIRE(pthread_mutex_unlock(&object->mutex) == 0);
  if (Is("condition")) {
    REQUIRE(pthread_mutex_lock(&object->mutex) == 0);
    object->is_set = 1;
    REQUIRE(pthread_cond_signal(&object->condition) == 0);
    REQUIRE(pthread_mutex_unlock(&object->mutex) == 0);
  }
}

static void Destroy(Object* object) {
  REQUIRE(sem_destroy(&object->semaphore) == 0);
  REQUIRE(pthread_barrier_destroy(&object->barrier) == 0);
  REQUIRE(pthread_rwlock_destroy(&object->rwlock) == 0);
  REQUIRE(pthread_mutex_destroy(&object->mutex) == 0);
  REQUIRE(pthread_cond_destroy(&object->condition) == 0);
  free(object);
}

// Objects with holes between them, which the next pass closes.
static void MakeAll(Object** objects) {
  static Object* holes[kSleepers * kHoles];
  for (int k = 0; k < kSleepers; k++) {
    objects[k] = malloc(sizeof(Object));
    for (int i = 0; i < kHoles; i++) holes[k * kHoles + i] = malloc(sizeof(Object));
    Make(objects[k]);
  }
  for (int i = 0; i < kSleepers * kHoles; i++) free(holes[i]);
}

int main(int count, char** words) {
  REQUIRE(count >= 2);
  kind = words[1];
  EnterSituation(count, words);
  pthread_t mesher;
  REQUIRE(pthread_create(&mesher, NULL, MeshAllTheWhile, NULL) == 0);
  for (int round = 0; round < kRounds; round++) {
    Object* objects[kSleepers];
    pthread_t sleepers[kSleepers];
    MakeAll(objects);
    asleep = 0;
    for (int k = 0; k < kSleepers; k++) {
      REQUIRE(pthread_create(&sleepers[k], NULL, Sleep, objects[k]) == 0);
    }
    while (asleep < kSleepers) usleep(1000);
    usleep(5000);
    CompactIfMesh();
    for (int k = 0; k < kSleepers; k++) Wake(objects[k]);
    for (int k = 0; k < kSleepers; k++) {
      REQUIRE(pthread_join(sleepers[k], NULL) == 0);
      Destroy(objects[k]);
    }
  }
  stop_now = 1;
  REQUIRE(pthread_join(mesher, NULL) == 0);
  Report();
  return 0;
}
