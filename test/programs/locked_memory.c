// mlockall(MCL_FUTURE), and MCL_CURRENT where the limit lets the program be locked as a whole: the
// heap works and is meshed, and what is freed goes back.
//
//   locked_memory [nobody] [denied]
#include <sys/mman.h>

#include "test/programs/workout.h"

enum { kMany = 32000, kSize = 1000 };
static const size_t kMargin = (size_t)16 << 20;

int main(int count, char** words) {
  EnterSituation(count, words);
  if (mlockall(MCL_CURRENT | MCL_FUTURE) != 0) REQUIRE(mlockall(MCL_FUTURE) == 0);
  WorkOut();
  static char* objects[kMany];
  memset(objects, 1, sizeof objects);
  CompactIfMesh();
  size_t before = ResidentBytes();
  for (int i = 0; i < kMany; i++) {
    objects[i] = malloc(kSize);
    REQUIRE(objects[i] != NULL);
    memset(objects[i], i, kSize);
  }
  REQUIRE(ResidentBytes() > before + kMargin);
  for (int i = 0; i < kMany; i++) free(objects[i]);
  CompactIfMesh();
  REQUIRE(ResidentBytes() < before + kMargin);
  ReportWorkOut();
  return 0;
}
