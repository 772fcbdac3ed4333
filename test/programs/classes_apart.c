// Objects of one size class share pages with their like only, through any order of malloc, free
// and meshing, and never overlap: two sizes in one page would let an overflow, or a stale pointer,
// of one kind of object reach another.
#include <malloc.h>

#include "test/programs/check.h"

enum { kObjects = 20000, kRounds = 12, kPageShift = 12, kTableBits = 20 };

static struct {
  unsigned char* bytes;
  size_t usable;
} objects[kObjects];

// Pages of live objects, by hash of their number, and the size of what is in them.
static struct {
  uintptr_t page;
  size_t usable;
} table[1 << kTableBits];

static void EnterPage(uintptr_t page, size_t usable) {
  size_t at = (page * 0x9e3779b97f4a7c15u) >> (64 - kTableBits);
  while (table[at].page != 0 && table[at].page != page) at = (at + 1) % (1 << kTableBits);
  REQUIRE(table[at].page == 0 || table[at].usable == usable);
  table[at].page = page;
  table[at].usable = usable;
}

static void CheckAll(void) {
  memset(table, 0, sizeof table);
  for (int i = 0; i < kObjects; i++) {
    if (objects[i].bytes == NULL) continue;
    uintptr_t first = (uintptr_t)objects[i].bytes >> kPageShift;
    uintptr_t last = ((uintptr_t)objects[i].bytes + objects[i].usable - 1) >> kPageShift;
    for (uintptr_t page = first; page <= last; page++) EnterPage(page, objects[i].usable);
    for (size_t k = 0; k < objects[i].usable; k++) REQUIRE(objects[i].bytes[k] == (unsigned char)i);
  }
}

int main(void) {
  unsigned int seed = 1;
  for (int round = 0; round < kRounds; round++) {
    for (int i = 0; i < kObjects; i++) {
      if (objects[i].bytes == NULL) {
        objects[i].bytes = malloc((size_t)rand_r(&seed) % (round % 2 ? 300 : 3500));
        objects[i].usable = malloc_usable_size(objects[i].bytes);
        memset(objects[i].bytes, i, objects[i].usable);
      } else if (rand_r(&seed) % 8 != 0) {
        free(objects[i].bytes);
        objects[i].bytes = NULL;
      }
    }
    if (round % 3 == 0) CompactIfMesh();
    CheckAll();
  }
  return 0;
}
