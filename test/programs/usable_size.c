// malloc_usable_size: at least what was asked, all of it writable without touching a neighbour, the
// same from malloc, calloc and memalign; 0 for NULL.
#include <malloc.h>

#include "test/programs/check.h"

enum { kObjects = 4000, kStep = 17 };

int main(void) {
  static unsigned char* objects[kObjects];
  REQUIRE(malloc_usable_size(NULL) == 0);
  for (int i = 0; i < kObjects; ++i) {
    size_t size = (size_t)i * kStep;
    objects[i] = i % 3 == 0 ? malloc(size) : i % 3 == 1 ? calloc(1, size) : memalign(32, size);
    REQUIRE(objects[i] != NULL && malloc_usable_size(objects[i]) >= size);
    memset(objects[i], i & 0xff, malloc_usable_size(objects[i]));
  }
  for (int i = 0; i < kObjects; ++i) {
    size_t usable = malloc_usable_size(objects[i]);
    for (size_t at = 0; at < usable; ++at) REQUIRE(objects[i][at] == (i & 0xff));
    free(objects[i]);
  }
  return 0;
}
