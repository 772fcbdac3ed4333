// Signals that come to the very thread that meshes, while it meshes: their handler stores into
// small objects, and reads into them; no store is lost and nobody waits for ever.
//
//   tier_handler_on_mesher alone|threads [nobody] [denied]
#include <signal.h>
#include <sys/time.h>

#include "test/programs/sparse.h"
#include "test/programs/tier.h"

enum { kPlaces = kSparseObjects / kSparseOneIn, kNumberAt = 8 };

static volatile sig_atomic_t ticks;
static int zeros;

// Each object has a counter at its begin, and behind it bytes that a call overwrites.
static void OnTick(int number) {
  (void)number;
  int error = errno;
  unsigned char* object = sparse[(size_t)(ticks % kPlaces) * kSparseOneIn];
  ++*(volatile uint32_t*)object;
  memset(object + kNumberAt, 1, 8);
  REQUIRE(pread(zeros, object + kNumberAt, 8, 0) == 8);
  for (int i = 0; i < 8; i++) REQUIRE(object[kNumberAt + i] == 0);
  ++ticks;
  errno = error;
}

static void* MeshWithoutTicks(void* unused) {
  sigset_t tick;
  sigemptyset(&tick);
  sigaddset(&tick, SIGALRM);
  REQUIRE(pthread_sigmask(SIG_BLOCK, &tick, NULL) == 0);
  return MeshAllTheWhile(unused);
}

int main(int count, char** words) {
  REQUIRE(count >= 2);
  EnterSituation(count, words);
  const int has_threads = strcmp(words[1], "threads") == 0;
  zeros = open("/dev/zero", O_RDONLY);
  REQUIRE(zeros >= 0);
  SparseMake(0);
  for (size_t i = 0; i < kSparseObjects; i++) {
    if (sparse[i] != NULL) memset(sparse[i], 0, SparseSize(i));
  }
  pthread_t mesher;
  if (has_threads) REQUIRE(pthread_create(&mesher, NULL, MeshWithoutTicks, NULL) == 0);
  struct sigaction action = {.sa_handler = OnTick, .sa_flags = SA_RESTART};
  REQUIRE(sigaction(SIGALRM, &action, NULL) == 0);
  struct itimerval often = {{0, 100}, {0, 100}};
  REQUIRE(setitimer(ITIMER_REAL, &often, NULL) == 0);
  static void* holes[4000];
  for (int round = 0; round < 60 || ticks < 200; round++) {
    for (size_t i = 0; i < 4000; i++) holes[i] = malloc(SparseSize(i));
    for (size_t i = 0; i < 4000; i++) free(holes[i]);
    CompactIfMesh();
  }
  often = (struct itimerval){{0, 0}, {0, 0}};
  REQUIRE(setitimer(ITIMER_REAL, &often, NULL) == 0);
  uint64_t sum = 0;
  for (size_t i = 0; i < kSparseObjects; i += kSparseOneIn) sum += *(uint32_t*)(void*)sparse[i];
  REQUIRE(sum == (uint64_t)ticks);
  stop_now = 1;
  if (has_threads) REQUIRE(pthread_join(mesher, NULL) == 0);
  Report();
  return 0;
}
