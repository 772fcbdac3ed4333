// argv[1] threads alive at the same time, argv[2] times over.  Each allocates, waits until all
// have, frees its neighbour's objects and checks their contents: every free is a remote one.
#include <pthread.h>

#include "test/programs/check.h"

enum { kObjects = 20, kMaxThreads = 5000 };

static int thread_count;
static pthread_barrier_t all_have_allocated;
static unsigned char* objects[kMaxThreads][kObjects];

static size_t SizeOf(int thread, int object) {
  return 16 + (size_t)(thread * 37 + object * 211) % 3000;
}

static void* Work(void* argument) {
  int self = (int)(intptr_t)argument;
  for (int i = 0; i < kObjects; ++i) {
    objects[self][i] = malloc(SizeOf(self, i));
    REQUIRE(objects[self][i] != NULL);
    memset(objects[self][i], self & 0xff, SizeOf(self, i));
  }
  pthread_barrier_wait(&all_have_allocated);
  int other = (self + 1) % thread_count;
  for (int i = 0; i < kObjects; ++i) {
    for (size_t at = 0; at < SizeOf(other, i); ++at) {
      REQUIRE(objects[other][i][at] == (other & 0xff));
    }
    free(objects[other][i]);
  }
  return NULL;
}

int main(int argc, char** argv) {
  REQUIRE(argc == 3);
  thread_count = atoi(argv[1]);
  REQUIRE(thread_count > 0 && thread_count <= kMaxThreads);
  static pthread_t threads[kMaxThreads];
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  REQUIRE(pthread_attr_setstacksize(&attributes, 128 << 10) == 0);
  for (int round = 0; round < atoi(argv[2]); ++round) {
    pthread_barrier_init(&all_have_allocated, NULL, (unsigned)thread_count);
    for (int i = 0; i < thread_count; ++i) {
      REQUIRE(pthread_create(&threads[i], &attributes, Work, (void*)(intptr_t)i) == 0);
    }
    for (int i = 0; i < thread_count; ++i) REQUIRE(pthread_join(threads[i], NULL) == 0);
    pthread_barrier_destroy(&all_have_allocated);
  }
  return 0;
}
