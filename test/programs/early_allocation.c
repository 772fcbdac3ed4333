// Allocates before any constructor has run (.preinit_array comes before those of shared libraries,
// the allocator's among them) and in a constructor of first priority; main frees what they got.
#include "test/programs/check.h"

static char* before_all;
static char* in_constructor;

static void BeforeAll(void) {
  before_all = malloc(100);
  memset(before_all, 1, 100);
  before_all = realloc(before_all, 20000);
}
__attribute__((section(".preinit_array"), used)) static void (*const kBeforeAll)(void) = BeforeAll;

__attribute__((constructor(101))) static void Constructor(void) {
  in_constructor = calloc(10, 10);
  REQUIRE(in_constructor != NULL);
}

int main(void) {
  for (int i = 0; i < 100; ++i) REQUIRE(before_all[i] == 1 && in_constructor[i] == 0);
  free(before_all);
  free(in_constructor);
  return 0;
}
