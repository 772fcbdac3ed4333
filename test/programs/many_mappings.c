// A program with tens of thousands of mappings of its own runs, and gets as many of them as it
// would without us.
//
//   many_mappings BEFORE AFTER [nobody] [denied]
//
// BEFORE mappings are made, the heap is worked and meshed, then AFTER more are made. None may fail.
#include <sys/mman.h>

#include "test/programs/workout.h"

// Neighbours of unlike protection are a mapping each.
static void MakeMappings(size_t count) {
  const size_t page = (size_t)sysconf(_SC_PAGESIZE);
  if (count == 0) return;
  char* all = mmap(NULL, count * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  REQUIRE(all != MAP_FAILED);
  for (size_t i = 1; i < count; i += 2) REQUIRE(mprotect(all + i * page, page, PROT_READ) == 0);
}

// Objects of a size, kept for a while: the heap has to grow where mappings are short, too.
static void UseMemory(void) {
  static char* objects[20000];
  for (size_t i = 0; i < 20000; i++) {
    size_t size = 16 + i * 7 % 4000;
    objects[i] = malloc(size);
    REQUIRE(objects[i] != NULL);
    memset(objects[i], (int)i, size);
  }
  for (size_t i = 0; i < 20000; i++) {
    REQUIRE(objects[i][0] == (char)i && objects[i][15] == (char)i);
    free(objects[i]);
  }
  char* large = calloc(1, 64 << 20);
  REQUIRE(large != NULL && large[12345678] == 0);
  large = realloc(large, 128 << 20);
  REQUIRE(large != NULL);
  free(large);
}

int main(int count, char** words) {
  REQUIRE(count >= 3);
  EnterSituation(count, words);
  MakeMappings(strtoull(words[1], NULL, 10));
  UseMemory();
  WorkOut();
  MakeMappings(strtoull(words[2], NULL, 10));
  UseMemory();
  ReportWorkOut();
  return 0;
}
