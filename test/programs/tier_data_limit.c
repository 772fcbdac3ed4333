// RLIMIT_DATA, of which a thread takes up whatever is left while another one meshes: memory that a
// pass has made read-only does not count, and when it shall be writable again the limit is in the
// way.
//
//   tier_data_limit [nobody] [denied]
#include <sys/mman.h>
#include <sys/resource.h>

#include "test/programs/sparse.h"
#include "test/programs/tier.h"

enum { kRounds = 15, kSlackKib = 400, kMaxPages = 2000, kSteps = 3000, kStepsToARelease = 50 };

// Whatever the limit does to it, no more than this thread's own compaction.
static void* Compact(void* unused) {
  while (!stop_now) CompactIfMesh();
  return unused;
}

// What counts against the limit [KiB].
static size_t DataKib(void) {
  char text[4096];
  int file = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
  ssize_t size = read(file, text, sizeof text - 1);
  REQUIRE(size > 0 && close(file) == 0);
  text[size] = 0;
  const char* line = strstr(text, "VmData:");
  REQUIRE(line != NULL);
  return strtoul(line + strlen("VmData:"), NULL, 10);
}

static void Limit(rlim_t bytes) {
  struct rlimit limit;
  REQUIRE(getrlimit(RLIMIT_DATA, &limit) == 0);
  limit.rlim_cur = bytes < limit.rlim_max ? bytes : limit.rlim_max;
  REQUIRE(setrlimit(RLIMIT_DATA, &limit) == 0);
}

static void TakeUpWhatIsLeft(void) {
  static void* pages[kMaxPages];
  int count = 0;
  for (int step = 0; step < kSteps; step++) {
    while (count < kMaxPages) {
      void* page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
      if (page == MAP_FAILED) break;
      pages[count++] = page;
    }
    if (step % kStepsToARelease == 0 && count > 0) munmap(pages[--count], 4096);
  }
  while (count > 0) munmap(pages[--count], 4096);
}

int main(int count, char** words) {
  EnterSituation(count, words);
  pthread_t mesher;
  REQUIRE(pthread_create(&mesher, NULL, Compact, NULL) == 0);
  for (unsigned round = 0; round < kRounds; round++) {
    SparseMake(round);
    Limit((rlim_t)(DataKib() + kSlackKib) << 10);
    TakeUpWhatIsLeft();
    Limit(RLIM_INFINITY);
    SparseCheck(round);
    SparseStore(round);
  }
  stop_now = 1;
  REQUIRE(pthread_join(mesher, NULL) == 0);
  Report();
  return 0;
}
