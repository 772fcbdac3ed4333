// Requests that cannot be met: NULL and ENOMEM from every entry point, and the heap is still
// usable.
#include <malloc.h>

#include "test/programs/check.h"

static void RefusesEverywhere(size_t size) {
  char* kept = malloc(100);
  memset(kept, 7, 100);
  errno = 0;
  REQUIRE(malloc(Hidden(size)) == NULL && errno == ENOMEM);
  errno = 0;
  REQUIRE(calloc(1, Hidden(size)) == NULL && errno == ENOMEM);
  errno = 0;
  REQUIRE(realloc(NULL, Hidden(size)) == NULL && errno == ENOMEM);
  errno = 0;
  REQUIRE(realloc(Opaque(kept), Hidden(size)) == NULL && errno == ENOMEM);
  errno = 0;
  REQUIRE(memalign(64, Hidden(size)) == NULL && errno == ENOMEM);
  errno = 0;
  REQUIRE(aligned_alloc(4096, Hidden(size)) == NULL && errno == ENOMEM);
  errno = 0;
  REQUIRE(valloc(Hidden(size)) == NULL && errno == ENOMEM);
  errno = 0;
  REQUIRE(pvalloc(Hidden(size)) == NULL && errno == ENOMEM);
  void* out = kept;
  REQUIRE(posix_memalign(&out, 64, Hidden(size)) == ENOMEM && out == kept);
  for (int i = 0; i < 100; ++i) REQUIRE(kept[i] == 7);  // A refused realloc keeps the old object.
  free(kept);
}

int main(void) {
  static const size_t kSizes[] = {(size_t)1 << 40, (size_t)1 << 47,    (size_t)1 << 62,
                                  PTRDIFF_MAX,     SIZE_MAX / 2 + 100, SIZE_MAX - 4096,
                                  SIZE_MAX - 15,   SIZE_MAX - 1,       SIZE_MAX};
  for (size_t i = 0; i < sizeof kSizes / sizeof kSizes[0]; ++i) RefusesEverywhere(kSizes[i]);
  REQUIRE(memalign(Hidden((size_t)1 << 62), 16) == NULL);
  void* after = malloc(1 << 20);
  REQUIRE(after != NULL);
  free(after);
  return 0;
}
