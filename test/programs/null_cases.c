// Nothing, zero and NULL: free(NULL), realloc(NULL, n), realloc(p, 0), malloc(0), calloc(0, n).
#include "test/programs/check.h"

int main(void) {
  errno = 77;
  free(NULL);
  free(Opaque(NULL));
  REQUIRE(errno == 77);
  void* fresh = realloc(Opaque(NULL), 100);
  REQUIRE(fresh != NULL);
  memset(fresh, 1, 100);
  REQUIRE(realloc(fresh, Hidden(0)) == NULL);  // As in glibc: freed, and not an error.
  void* zeros[100];
  for (int i = 0; i < 100; ++i) {
    zeros[i] = i % 2 == 0 ? malloc(Hidden(0)) : calloc(Hidden(0), 8);
    REQUIRE(zeros[i] != NULL);
    for (int j = 0; j < i; ++j) REQUIRE(zeros[j] != zeros[i]);  // Each a pointer of its own.
  }
  for (int i = 0; i < 100; ++i) free(zeros[i]);
  void* from_nothing = realloc(Opaque(NULL), Hidden(0));
  REQUIRE(from_nothing != NULL);
  free(from_nothing);
  return 0;
}
