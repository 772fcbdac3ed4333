// Alignments that are no power of two, or too small for posix_memalign: EINVAL, nothing is stored.
#include "test/programs/check.h"

int main(void) {
  static const size_t kBad[] = {0, 1, 2, 3, 4, 6, 7, 24, 63, 100, 4095, SIZE_MAX};
  for (size_t i = 0; i < sizeof kBad / sizeof kBad[0]; ++i) {
    void* out = (void*)&out;
    errno = 1234;
    REQUIRE(posix_memalign(&out, Hidden(kBad[i]), 64) == EINVAL);
    REQUIRE(out == (void*)&out && errno == 1234);  // Its result is the return value, not errno.
  }
  static const size_t kBadForC[] = {0, 3, 6, 24, 100, 4095};
  for (size_t i = 0; i < sizeof kBadForC / sizeof kBadForC[0]; ++i) {
    errno = 0;
    REQUIRE(aligned_alloc(Hidden(kBadForC[i]), 64) == NULL && errno == EINVAL);
  }
  return 0;
}
