// What objects of a size cost: malloc(2049) not 4 KiB, memalign(64, 80) not a page; no size above
// 128 bytes more than an eighth over what was asked for, and a little for the whole.
#include <malloc.h>

#include "test/programs/check.h"

static const size_t kBytes = (size_t)24 << 20;
static const size_t kSlack = (size_t)3 << 20;

static void CheckCost(size_t alignment, size_t size, size_t bound) {
  static char* objects[(24 << 20) / 64];
  memset(objects, 1, sizeof objects);
  CompactIfMesh();
  size_t count = kBytes / size;
  size_t before = ResidentBytes();
  for (size_t i = 0; i < count; i++) {
    objects[i] = alignment > 0 ? memalign(alignment, size) : malloc(size);
    REQUIRE(objects[i] != NULL);
    memset(objects[i], 1, size);
  }
  size_t cost = ResidentBytes() - before;
  for (size_t i = 0; i < count; i++) free(objects[i]);
  if (cost <= count * bound + kSlack) return;
  fprintf(stderr, "size %zu, alignment %zu: %zu bytes each\n", size, alignment, cost / count);
  _exit(1);
}

int main(void) {
  CheckCost(0, 2049, 2304);
  CheckCost(64, 80, 128);
  static const size_t kSizes[] = {129,  200,  257,  513,  700,   1025,
                                  1500, 2600, 4097, 9000, 17000, 33000};
  for (size_t i = 0; i < sizeof kSizes / sizeof *kSizes; i++) {
    size_t pages = kSizes[i] > 32768 ? (kSizes[i] + 4095) / 4096 * 4096 : 0;
    CheckCost(0, kSizes[i], pages > 0 ? pages : kSizes[i] * 9 / 8 + kSizes[i] / 32 + 16);
  }
  return 0;
}
