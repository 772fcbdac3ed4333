// 300 threads, one after the other, each leave 2 MB: half freed by themselves, half by main after
// their end.  The memory has to serve the next thread or go back; a leak would reach 600 MB.
#include <pthread.h>

#include "test/programs/check.h"

enum { kThreads = 300, kObjects = 8192, kSize = 256 };
static const size_t kBoundBytes = (size_t)32 << 20;

static void* Work(void* argument) {
  void** objects = argument;
  for (int i = 0; i < kObjects; ++i) {
    objects[i] = malloc(kSize);
    memset(objects[i], 1, kSize);
  }
  for (int i = 0; i < kObjects / 2; ++i) free(objects[i]);
  return NULL;
}

int main(void) {
  static void* objects[kObjects];
  size_t before = ResidentBytes();
  for (int round = 0; round < kThreads; ++round) {
    pthread_t thread;
    REQUIRE(pthread_create(&thread, NULL, Work, objects) == 0);
    REQUIRE(pthread_join(thread, NULL) == 0);
    for (int i = kObjects / 2; i < kObjects; ++i) free(objects[i]);
  }
  REQUIRE(ResidentBytes() < before + kBoundBytes);
  return 0;
}
