// calloc is zero, whatever was there: small and large sizes, after dirty objects were freed, from
// reused spans and reused large mappings.
#include <malloc.h>

#include "test/programs/check.h"

enum { kObjects = 300, kSizes = 12 };

int main(void) {
  static const size_t kSize[kSizes] = {1,    15,    16,    100,    1000,    2049,
                                       4096, 10000, 65536, 300000, 1 << 20, 5 << 20};
  static unsigned char* objects[kObjects];
  for (int which = 0; which < kSizes; ++which) {
    size_t size = kSize[which];
    int count = size > 100000 ? 6 : kObjects;
    for (int round = 0; round < 4; ++round) {
      for (int i = 0; i < count; ++i) {
        objects[i] = calloc(size, 1);
        REQUIRE(objects[i] != NULL);
        for (size_t at = 0; at < size; ++at) REQUIRE(objects[i][at] == 0);
        memset(objects[i], 0xff, malloc_usable_size(objects[i]));
      }
      for (int i = 0; i < count; ++i) free(objects[i]);
    }
  }
  return 0;
}
