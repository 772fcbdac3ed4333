// Every object is aligned: to 16 from malloc and its kin, as asked from the aligned entry points,
// to a page from valloc; pvalloc rounds the size up to whole pages too.
#include <malloc.h>

#include "test/programs/check.h"

static int IsAligned(const void* pointer, size_t alignment) {
  return pointer != NULL && (uintptr_t)pointer % alignment == 0;
}

static void CheckAligned(size_t alignment, size_t size) {
  void* objects[3];
  REQUIRE(posix_memalign(&objects[0], alignment, size) == 0);
  objects[1] = memalign(alignment, size);
  objects[2] = aligned_alloc(alignment, (size + alignment - 1) / alignment * alignment);
  for (int i = 0; i < 3; ++i) {
    REQUIRE(IsAligned(objects[i], alignment) && malloc_usable_size(objects[i]) >= size);
    memset(objects[i], 1, size);
  }
  for (int i = 0; i < 3; ++i) free(objects[i]);
}

int main(void) {
  for (size_t size = 0; size < 40000; size += size < 2100 ? 1 : 1013) {
    void* object = malloc(size);
    void* zeroed = calloc(1, size);
    void* grown = realloc(malloc(size / 2), size + 1);
    REQUIRE(IsAligned(object, 16) && IsAligned(zeroed, 16) && IsAligned(grown, 16));
    free(object);
    free(zeroed);
    free(grown);
  }
  for (size_t alignment = sizeof(void*); alignment <= (size_t)16 << 20; alignment *= 2) {
    for (size_t size = 1; size < 300000; size = size * 3 + 7) CheckAligned(alignment, size);
  }
  void* page = valloc(10);
  void* pages = pvalloc(4097);
  REQUIRE(IsAligned(page, 4096) && IsAligned(pages, 4096) && malloc_usable_size(pages) >= 8192);
  free(page);
  free(pages);
  return 0;
}
