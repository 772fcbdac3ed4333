// Pointers from another allocator (libc's own malloc, reached past the preloaded one; a mapping)
// are freed through the interposed free: never taken for objects of ours, so never handed out
// again.
#include <malloc.h>
#include <sys/mman.h>

#include "test/programs/check.h"

enum { kObjects = 2000, kSize = 64, kMappedBytes = 1 << 16 };

static int IsInside(const void* pointer, const void* start, size_t length) {
  return (uintptr_t)pointer - (uintptr_t)start < length;
}

int main(void) {
  void* libc = dlopen("libc.so.6", RTLD_NOW | RTLD_NOLOAD);
  REQUIRE(libc != NULL);
  void* (*libc_malloc)(size_t);
  *(void**)&libc_malloc = dlsym(libc, "malloc");
  REQUIRE(libc_malloc != NULL);
  char* foreign = libc_malloc(kSize);
  char* mapped =
      mmap(NULL, kMappedBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  REQUIRE(foreign != NULL && mapped != MAP_FAILED);
  memset(foreign, 3, kSize);
  (void)malloc_usable_size(Opaque(foreign));
  free(Opaque(foreign));
  free(Opaque(mapped + 4096));
  static char* objects[kObjects];
  for (int i = 0; i < kObjects; ++i) {
    objects[i] = malloc(kSize);
    REQUIRE(objects[i] != NULL && objects[i] != foreign);
    REQUIRE(!IsInside(objects[i], mapped, kMappedBytes));
    memset(objects[i], 1, kSize);
  }
  for (int i = 0; i < kMappedBytes; ++i) REQUIRE(mapped[i] == 0);
  for (int i = 0; i < kObjects; ++i) free(objects[i]);
  return 0;
}
