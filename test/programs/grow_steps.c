// A block grows to 512 MiB in steps of 1 MiB. Nothing is copied: of its pages only those that the
// program itself touches are ever faulted in, and the contents are there.
#include <sys/resource.h>

#include "test/programs/check.h"

enum { kSteps = 512 };
static const size_t kStep = (size_t)1 << 20;

static long Faults(void) {
  struct rusage usage;
  REQUIRE(getrusage(RUSAGE_SELF, &usage) == 0);
  return usage.ru_minflt;
}

int main(void) {
  char* block = NULL;
  long before = Faults();
  for (size_t i = 0; i < kSteps; i++) {
    block = realloc(block, (i + 1) * kStep);
    REQUIRE(block != NULL);
    block[i * kStep] = (char)(i + 1);
  }
  // Each step touches a page. Copying would touch all 131,072 pages, and most of them many times.
  REQUIRE(Faults() - before < 8 * kSteps);
  for (size_t i = 0; i < kSteps; i++) REQUIRE(block[i * kStep] == (char)(i + 1));
  free(block);
  return 0;
}
