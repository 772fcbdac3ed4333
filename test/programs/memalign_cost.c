// 100,000 small objects with an alignment of 64: no more than 128 bytes each and some slack; a page
// for each would be 400 MB.
#include <malloc.h>

#include "test/programs/check.h"

enum { kObjects = 100000 };
static const size_t kBoundBytes = (size_t)kObjects * 128 + ((size_t)4 << 20);

int main(void) {
  static char* objects[kObjects];
  memset(objects, 1, sizeof objects);
  size_t before = ResidentBytes();
  for (int i = 0; i < kObjects; ++i) {
    objects[i] = memalign(64, 80);
    REQUIRE(objects[i] != NULL && (uintptr_t)objects[i] % 64 == 0);
    memset(objects[i], 1, 80);
  }
  REQUIRE(ResidentBytes() < before + kBoundBytes);
  for (int i = 0; i < kObjects; ++i) free(objects[i]);
  return 0;
}
