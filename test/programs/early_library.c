// A preloaded library whose constructor allocates, in either order with the allocator's.  Used by
// situations_test.py as a second LD_PRELOAD entry.
#include "test/programs/check.h"

static char* early;

__attribute__((constructor)) static void Constructor(void) {
  early = malloc(777);
  REQUIRE(early != NULL);
  memset(early, 5, 777);
}

__attribute__((destructor)) static void Destructor(void) {
  for (int i = 0; i < 777; ++i) REQUIRE(early[i] == 5);
  free(early);
}
