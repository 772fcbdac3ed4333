// free keeps errno, also where it gives memory back to the kernel; so does an allocation that
// works.
#include "test/programs/check.h"

int main(void) {
  for (size_t size = 1; size < ((size_t)256 << 20); size = size * 2 + 1) {
    char* objects[8];
    for (int i = 0; i < 8; ++i) {
      errno = 4321;
      objects[i] = malloc(size);
      REQUIRE(objects[i] != NULL && errno == 4321);
      objects[i][0] = 1;
    }
    for (int i = 0; i < 8; ++i) {
      errno = 1234;
      free(objects[i]);
      REQUIRE(errno == 1234);
    }
  }
  return 0;
}
