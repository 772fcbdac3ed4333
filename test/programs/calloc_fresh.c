// calloc of fresh pages does not write to them: they stay untouched until the program touches them.
#include "test/programs/check.h"

static const size_t kMargin = (size_t)2 << 20;

static void CheckFresh(size_t size, size_t count) {
  static char* objects[4096];
  memset(objects, 1, sizeof objects);
  size_t before = ResidentBytes();
  for (size_t i = 0; i < count; i++) {
    objects[i] = calloc(1, size);
    REQUIRE(objects[i] != NULL);
  }
  size_t after = ResidentBytes();
  if (after > before + kMargin + count * 4096 / 8) {
    fprintf(stderr, "%zu times calloc(1, %zu): %zu bytes\n", count, size, after - before);
    _exit(1);
  }
  for (size_t i = 0; i < count; i++) {
    REQUIRE(objects[i][0] == 0 && objects[i][size / 2] == 0 && objects[i][size - 1] == 0);
    free(objects[i]);
  }
}

int main(void) {
  CheckFresh((size_t)1 << 30, 1);
  CheckFresh((size_t)64 << 20, 8);
  CheckFresh((size_t)1 << 20, 128);
  CheckFresh(100000, 1000);
  CheckFresh(40000, 2000);
  return 0;
}
