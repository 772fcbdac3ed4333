// Forks many times, with holes between live objects and other threads allocating: each child finds
// the heap as it was, writes, frees and allocates in it, forks once itself; the parent's stays as
// is.
#include <pthread.h>
#include <sys/wait.h>

#include "test/programs/check.h"

enum { kObjects = 20000, kForks = 30, kThreads = 2 };

static unsigned char* objects[kObjects];
static int stop;

static size_t SizeOf(int i) { return 16 + (size_t)(i * 7919) % 900; }

static void* Busy(void* unused) {
  while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
    void* some[50];
    for (int i = 0; i < 50; ++i) some[i] = malloc(SizeOf(i));
    for (int i = 0; i < 50; ++i) free(some[i]);
  }
  return unused;
}

static void CheckAll(unsigned char mark) {
  for (int i = 0; i < kObjects; ++i) {
    for (size_t at = 0; objects[i] != NULL && at < SizeOf(i); at += 15) {
      REQUIRE(objects[i][at] == (unsigned char)(i + mark));
    }
  }
}

static void FillAll(unsigned char mark) {
  for (int i = 0; i < kObjects; ++i) {
    if (objects[i] != NULL) memset(objects[i], i + mark, SizeOf(i));
  }
}

static void Await(pid_t child) {
  int status = -1;
  REQUIRE(waitpid(child, &status, 0) == child);
  REQUIRE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void LiveAsChild(unsigned char mark) {
  CheckAll(mark);
  FillAll((unsigned char)(mark + 100));
  for (int i = 0; i < kObjects; i += 2) {
    free(objects[i]);
    objects[i] = NULL;
  }
  CompactIfMesh();
  CheckAll((unsigned char)(mark + 100));
  pid_t grandchild = fork();
  if (grandchild == 0) {
    CheckAll((unsigned char)(mark + 100));
    _exit(0);
  }
  Await(grandchild);
  _exit(0);
}

int main(void) {
  for (int i = 0; i < kObjects; ++i) objects[i] = malloc(SizeOf(i));
  for (int i = 0; i < kObjects; ++i) {
    if (i % 8 == 0) continue;
    free(objects[i]);
    objects[i] = NULL;
  }
  pthread_t threads[kThreads];
  for (int i = 0; i < kThreads; ++i) REQUIRE(pthread_create(&threads[i], NULL, Busy, NULL) == 0);
  for (int round = 0; round < kForks; ++round) {
    FillAll((unsigned char)round);
    if (round % 3 == 1) CompactIfMesh();
    pid_t child = fork();
    REQUIRE(child >= 0);
    if (child == 0) LiveAsChild((unsigned char)round);
    CheckAll((unsigned char)round);
    Await(child);
    CheckAll((unsigned char)round);
  }
  __atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
  for (int i = 0; i < kThreads; ++i) pthread_join(threads[i], NULL);
  return 0;
}
