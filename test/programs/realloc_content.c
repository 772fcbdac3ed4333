// realloc keeps the contents over every kind of growth and shrinking, and grows a large object to
// 512 MiB in steps of 1 MiB without copying it each time.  Prints nothing; takes well under a
// second.
#include <time.h>

#include "test/programs/check.h"

static const size_t kMiB = (size_t)1 << 20;

static double Seconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

static void GrowAndShrink(void) {
  unsigned char* object = NULL;
  size_t old_size = 0;
  unsigned random = 1;
  for (int round = 0; round < 20000; ++round) {
    random = random * 1103515245 + 12345;
    size_t size = 1 + (random >> 8) % (round % 100 == 0 ? 3 * kMiB : 5000);
    object = realloc(object, size);
    REQUIRE(object != NULL);
    size_t kept = old_size < size ? old_size : size;
    if (kept > 0)
      REQUIRE(object[0] == 0xab && object[kept / 2] == 0xab && object[kept - 1] == 0xab);
    memset(object, 0xab, size);
    old_size = size;
  }
  free(object);
}

static void GrowLarge(void) {
  char* object = NULL;
  double start = Seconds();
  for (size_t step = 1; step <= 512; ++step) {
    object = realloc(object, step * kMiB);
    REQUIRE(object != NULL);
    object[(step - 1) * kMiB] = (char)step;
  }
  // 3 ms in glibc; copying each time would be 131 GB of memory traffic.
  REQUIRE(Seconds() - start < 1.0);
  for (size_t step = 1; step <= 512; ++step) REQUIRE(object[(step - 1) * kMiB] == (char)step);
  free(object);
}

int main(void) {
  GrowAndShrink();
  GrowLarge();
  return 0;
}
