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

// What is done between going to sleep and being woken. A word that was meshed before it was slept
// on is known to the kernel by its new place already: only a mesh or a fork after that tells.
static void Mesh(void) {
  const size_t before = StatisticIfMesh("stats.mesh_count");
  int passes = 0;
  for (; HasMesh() && StatisticIfMesh("stats.mesh_count") == before; passes++) {
    REQUIRE(passes < 100);
    CompactIfMesh();
  }
}
static void Fork(void) {
  pid_t child = fork();
  REQUIRE(child >= 0);
  if (child == 0) _exit(0);
  REQUIRE(waitpid(child, NULL, 0) == child);
}

static void SleepAndWake(void (*between)(void)) {
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
  between();
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
  for (int round = 0; round < kRounds; round++) {
    SparseMake(0);
    if (forks) CompactIfMesh();
    SleepAndWake(forks ? Fork : Mesh);
  }
  Report();
  return 0;
}
