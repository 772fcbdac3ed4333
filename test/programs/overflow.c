// count * size beyond SIZE_MAX: NULL and ENOMEM, and the object given to reallocarray stays.
#include "test/programs/check.h"

int main(void) {
  static const size_t kPairs[][2] = {{SIZE_MAX / 2, 3},
                                     {SIZE_MAX, SIZE_MAX},
                                     {SIZE_MAX, 2},
                                     {(size_t)1 << 32, (size_t)1 << 32},
                                     {((size_t)1 << 32) + 1, ((size_t)1 << 32) - 1},
                                     {3, SIZE_MAX / 3 + 1},
                                     {16, SIZE_MAX / 16 + 2}};
  unsigned char* kept = malloc(64);
  memset(kept, 9, 64);
  for (size_t i = 0; i < sizeof kPairs / sizeof kPairs[0]; ++i) {
    size_t count = Hidden(kPairs[i][0]);
    size_t size = Hidden(kPairs[i][1]);
    errno = 0;
    REQUIRE(calloc(count, size) == NULL && errno == ENOMEM);
    errno = 0;
    REQUIRE(reallocarray(Opaque(kept), count, size) == NULL && errno == ENOMEM);
  }
  for (int i = 0; i < 64; ++i) REQUIRE(kept[i] == 9);
  kept = reallocarray(kept, 100, 100);
  REQUIRE(kept != NULL && kept[63] == 9);
  free(kept);
  void* none = calloc(Hidden(0), Hidden(SIZE_MAX));
  free(none);
  return 0;
}
