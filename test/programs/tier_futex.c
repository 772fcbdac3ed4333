// Threads that sleep on words of small objects without the PRIVATE flag, as std::future of
// libstdc++ does: a wake-up finds them although the word's page was meshed, or the process forked,
// meanwhile.
//
//   tier_futex mesh|fork [nobody] [denied]
#include <linux/futex.h>
#include <sys/wait.h>

#include "test/programs/sparse.h"
#include "test/programs/tier.h"

enum { kSleepers = 16, kRounds = 6 };

static atomic_int* words_of[kSleepers];
static atomic_int asleep;

static long Futex(atomic_int* word, int operation, int value) {
  return syscall(SYS_futex, word, operation, value, NULL, NULL, 0);
}

static void* Sleep(void* word) {
  asleep++;
  while (*(atomic_int*)word == 0) Futex(word, FUTEX_WAIT, 0);
  return NULL;
}

// `forks` 1: between going to sleep and being woken the process forks.
static void SleepAndWake(int forks) {
  pthread_t sleepers[kSleepers];
  asleep = 0;
  for (int k = 0; k < kSleepers; k++) {
    // One of the survivors of each round of holes.
    words_of[k] = (void*)sparse[(size_t)k * 40 * kSparseOneIn];
    *words_of[k] = 0;
    REQUIRE(pthread_create(&sleepers[k], NULL, Sleep, words_of[k]) == 0);
  }
  while (asleep < kSleepers) usleep(1000);
  usleep(5000);
  if (forks) {
    pid_t child = fork();
    REQUIRE(child >= 0);
    if (child == 0) _exit(0);
    REQUIRE(waitpid(child, NULL, 0) == child);
  } else {
    CompactIfMesh();
  }
  for (int k = 0; k < kSleepers; k++) {
    *words_of[k] = 1;
    Futex(words_of[k], FUTEX_WAKE, 1);
    REQUIRE(pthread_join(sleepers[k], NULL) == 0);
  }
}

int main(int count, char** words) {
  REQUIRE(count >= 2);
  EnterSituation(count, words);
  const int forks = strcmp(words[1], "fork") == 0;
  pthread_t mesher;
  REQUIRE(pthread_create(&mesher, NULL, MeshAllTheWhile, NULL) == 0);
  for (int round = 0; round < kRounds; round++) {
    SparseMake(0);
    if (forks) CompactIfMesh();
    SleepAndWake(forks);
  }
  stop_now = 1;
  REQUIRE(pthread_join(mesher, NULL) == 0);
  Report();
  return 0;
}
