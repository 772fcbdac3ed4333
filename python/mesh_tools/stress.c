// A program that wears an allocator out, for `mesh stress`: compiled when it is asked for, linked
// to nothing but libc, so that whatever is preloaded serves it.
//
//   stress THREADS OBJECTS ITERATIONS KEEP_EVERY SEED
//
// Each thread holds OBJECTS objects of mixed sizes and replaces a random one ITERATIONS times; one
// in a hundred goes through a table that all threads share, so that others free it. Every object
// bears a stamp at both ends that is checked before it goes. After each tenth of the iterations a
// thread drops all but every KEEP_EVERY-th object (1: none), naps, so that a compacting allocator
// can work, checks every stamp that is left, and fills up again.
// Writes "done N" lines (tenths of all threads), then one JSON object. Exit status: 1 a stamp was
// wrong, 2 bad arguments.
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { kShared = 1024, kPhases = 10, kNaps = 20, kLargest = 64 << 10 };

static uint64_t objects, iterations, keep_every, seed;
static _Atomic(void*) shared[kShared];
static atomic_uint_fast64_t wrong, replaced;

static uint64_t Next(uint64_t* state) {
  *state ^= *state << 13;
  *state ^= *state >> 7;
  *state ^= *state << 17;
  return *state;
}

// Mostly small; one in 256 up to kLargest.
static size_t RandomSize(uint64_t* state) {
  uint64_t bits = Next(state);
  if (bits % 256 == 0) return 16 + (bits >> 8) % kLargest;
  return 16 + (bits >> 8) % (16u << ((bits >> 40) % 7));
}

static uint64_t StampOf(const void* object, size_t size) {
  return (uint64_t)(uintptr_t)object * 0x9e3779b97f4a7c15u + size;
}

static void* Make(uint64_t* state) {
  size_t size = RandomSize(state) & ~(size_t)7;
  unsigned char* object = malloc(size);
  if (object == NULL) {
    fprintf(stderr, "stress: out of memory\n");
    exit(1);
  }
  uint64_t stamp = StampOf(object, size);
  memcpy(object, &size, 8);
  memcpy(object + size - 8, &stamp, 8);
  return object;
}

static void Check(const void* object) {
  size_t size;
  uint64_t stamp = 0;
  memcpy(&size, object, 8);
  if (size >= 16 && size <= 16 + kLargest) {
    memcpy(&stamp, (const unsigned char*)object + size - 8, 8);
  }
  if (stamp != StampOf(object, size)) atomic_fetch_add(&wrong, 1);
}

// The stamp goes too: were the memory handed out twice, the other owner would miss it.
static void Drop(void* object) {
  if (object == NULL) return;
  Check(object);
  size_t size;
  memcpy(&size, object, 8);
  if (size >= 16 && size <= 16 + kLargest) memset((unsigned char*)object + size - 8, 0, 8);
  free(object);
}

static void Thin(void** held) {
  for (uint64_t i = 0; i < objects; i++) {
    if (i % keep_every == 0) continue;
    Drop(held[i]);
    held[i] = NULL;
  }
  const struct timespec nap = {0, 5000000};
  for (int i = 0; i < kNaps; i++) nanosleep(&nap, NULL);
  for (uint64_t i = 0; i < objects; i++) {
    if (held[i] != NULL) Check(held[i]);
  }
}

static void* Work(void* argument) {
  uint64_t state = (seed + (uint64_t)(uintptr_t)argument + 1) * 0x9e3779b97f4a7c15u;
  void** held = calloc(objects, sizeof(void*));
  for (uint64_t phase = 0; phase < kPhases; phase++) {
    for (uint64_t i = 0; i < objects; i++) {
      if (held[i] == NULL) held[i] = Make(&state);
    }
    for (uint64_t i = 0; i < iterations / kPhases; i++) {
      void** place = &held[Next(&state) % objects];
      Drop(*place);
      *place = Make(&state);
      if (Next(&state) % 100 == 0) {
        *place = atomic_exchange(&shared[Next(&state) % kShared], *place);
      }
    }
    atomic_fetch_add(&replaced, iterations / kPhases);
    if (keep_every > 1) Thin(held);
    printf("done 1\n");
    fflush(stdout);
  }
  for (uint64_t i = 0; i < objects; i++) Drop(held[i]);
  free(held);
  return NULL;
}

int main(int argc, char** argv) {
  if (argc != 6) return 2;
  uint64_t threads = strtoull(argv[1], NULL, 10);
  objects = strtoull(argv[2], NULL, 10);
  iterations = strtoull(argv[3], NULL, 10);
  keep_every = strtoull(argv[4], NULL, 10);
  seed = strtoull(argv[5], NULL, 10);
  if (threads == 0 || objects == 0 || keep_every == 0) return 2;
  pthread_t* ids = malloc(threads * sizeof(*ids));
  struct timespec begin, end;
  clock_gettime(CLOCK_MONOTONIC, &begin);
  for (uint64_t i = 0; i < threads; i++) {
    if (pthread_create(&ids[i], NULL, Work, (void*)(uintptr_t)i) != 0) return 1;
  }
  for (uint64_t i = 0; i < threads; i++) pthread_join(ids[i], NULL);
  clock_gettime(CLOCK_MONOTONIC, &end);
  for (int i = 0; i < kShared; i++) Drop(shared[i]);
  free(ids);
  double seconds =
      (double)(end.tv_sec - begin.tv_sec) + (double)(end.tv_nsec - begin.tv_nsec) / 1e9;
  printf("{\"replaced\": %llu, \"wrong\": %llu, \"seconds\": %.3f}\n",
         (unsigned long long)atomic_load(&replaced), (unsigned long long)atomic_load(&wrong),
         seconds);
  return atomic_load(&wrong) == 0 ? 0 : 1;
}
