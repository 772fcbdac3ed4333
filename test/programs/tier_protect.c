// Pages of small objects that the program makes executable, though it only owns a part of each, as
// programs do that write code into malloc's memory: they stay it while everything around is meshed,
// and the objects keep their contents.
//
//   tier_protect mprotect|syscall [nobody] [denied]
#include <sys/mman.h>

#include "test/programs/sparse.h"
#include "test/programs/tier.h"

enum { kPages = 30, kRounds = 20 };

static uintptr_t pages[kPages];

static int Protect(const char* how, uintptr_t page, size_t length) {
  const int all = PROT_READ | PROT_WRITE | PROT_EXEC;
  if (strcmp(how, "mprotect") == 0) return mprotect((void*)page, length, all);
  return (int)syscall(SYS_mprotect, page, length, all);
}

// How many of the pages are executable.
static int CountExecutable(void) {
  static char line[512];
  FILE* maps = fopen("/proc/self/maps", "r");
  REQUIRE(maps != NULL);
  int found = 0;
  while (fgets(line, sizeof line, maps) != NULL) {
    unsigned long low, high;
    char rights[5];
    REQUIRE(sscanf(line, "%lx-%lx %4s", &low, &high, rights) == 3);
    for (int i = 0; i < kPages; i++) {
      found += pages[i] >= low && pages[i] < high && rights[2] == 'x';
    }
  }
  fclose(maps);
  return found;
}

int main(int count, char** words) {
  REQUIRE(count >= 2);
  EnterSituation(count, words);
  const size_t page = (size_t)sysconf(_SC_PAGESIZE);
  pthread_t mesher;
  SparseMake(1);
  REQUIRE(pthread_create(&mesher, NULL, MeshAllTheWhile, NULL) == 0);
  for (int i = 0; i < kPages; i++) {
    pages[i] = (uintptr_t)sparse[(size_t)i * 40 * kSparseOneIn] / page * page;
    REQUIRE(Protect(words[1], pages[i], page) == 0);
  }
  for (int round = 0; round < kRounds; round++) {
    // Their neighbours on the page may go; what is freed may come back as something else.
    for (int i = 0; i < 4000; i++) free(malloc(SparseSize((size_t)i)));
    CompactIfMesh();
    SparseCheck(1);
  }
  stop_now = 1;
  REQUIRE(pthread_join(mesher, NULL) == 0);
  REQUIRE(CountExecutable() == kPages);
  Report();
  return 0;
}
