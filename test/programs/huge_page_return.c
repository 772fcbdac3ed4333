// What is given back is really free: no page that may be meshed or given back singly lies in a huge
// page, and a large object that has huge pages gives them back whole.
#include <sys/mman.h>

#include "test/programs/sparse.h"

enum { kHuge = 2 << 20 };
static const size_t kLarge = (size_t)48 << 20;

// The lines of smaps about the mapping that `address` lies in: its flags, and its huge pages [KiB].
static size_t HugeKib(const void* address, char* flags, size_t room) {
  static char line[512];
  FILE* maps = fopen("/proc/self/smaps", "r");
  REQUIRE(maps != NULL);
  int is_there = 0;
  size_t huge = 0;
  while (fgets(line, sizeof line, maps) != NULL) {
    unsigned long first;
    unsigned long last;
    if (sscanf(line, "%lx-%lx ", &first, &last) == 2) {
      is_there = first <= (uintptr_t)address && (uintptr_t)address < last;
    }
    if (is_there) sscanf(line, "AnonHugePages: %zu", &huge);
    if (is_there && strncmp(line, "VmFlags:", 8) == 0) memccpy(flags, line, 0, room - 1);
  }
  fclose(maps);
  return huge;
}

// `is_anonymous`: nothing has been meshed yet.
static void CheckSmall(int is_anonymous) {
  char flags[256] = {0};
  for (size_t i = 0; i < kSparseObjects; i += 500 * kSparseOneIn) {
    REQUIRE(HugeKib(sparse[i], flags, sizeof flags) == 0);
    REQUIRE(!is_anonymous || !HasMesh() || strstr(flags, " nh") != NULL);
  }
}

int main(void) {
  SparseMake(1);
  CheckSmall(1);
  CompactIfMesh();
  CheckSmall(0);
  // As where huge pages are given to all memory.
  char* large = malloc(kLarge);
  REQUIRE(large != NULL);
  char* first = (char*)(((uintptr_t)large + kHuge - 1) / kHuge * kHuge);
  if (madvise(first, kLarge - kHuge, MADV_HUGEPAGE) != 0) return 0;
  const size_t before = ResidentBytes();
  memset(large, 1, kLarge);
  const size_t full = ResidentBytes();
  REQUIRE(full >= before + kLarge - kHuge);
  large = realloc(large, (size_t)8 << 20);
  REQUIRE(large != NULL && large[(8 << 20) - 1] == 1);
  REQUIRE(ResidentBytes() <= full - (kLarge - (16 << 20)));
  free(large);
  CompactIfMesh();
  REQUIRE(ResidentBytes() <= before + (4 << 20));
  SparseCheck(1);
  return 0;
}
