// Where every mapping gets huge pages, memory that is freed or meshed goes back all the same: by
// the kernel's own count, not by ours.
//
//   huge_pages [nobody] [denied]
#include "test/programs/workout.h"

enum { kMany = 400000, kSize = 160, kKept = 10 };

// The figure in /proc/self/smaps_rollup [bytes].
static size_t Rollup(const char* key) {
  char text[2048];
  int file = open("/proc/self/smaps_rollup", O_RDONLY);
  ssize_t size = read(file, text, sizeof text - 1);
  REQUIRE(size > 0 && close(file) == 0);
  text[size] = '\0';
  const char* line = strstr(text, key);
  REQUIRE(line != NULL);
  return strtoull(line + strlen(key), NULL, 10) << 10;
}

int main(int count, char** words) {
  EnterSituation(count, words);
  WorkOut();
  static char* objects[kMany];
  memset(objects, 1, sizeof objects);
  size_t before = ResidentBytes();
  size_t huge = Rollup("AnonHugePages:") + Rollup("ShmemPmdMapped:");
  for (int i = 0; i < kMany; i++) {
    objects[i] = malloc(kSize);
    REQUIRE(objects[i] != NULL);
    memset(objects[i], i, kSize);
  }
  size_t full = ResidentBytes() - before;
  for (int i = 0; i < kMany; i++) {
    if (i % kKept != 0) free(objects[i]);
  }
  CompactIfMesh();
  REQUIRE(Rollup("AnonHugePages:") + Rollup("ShmemPmdMapped:") <= huge);
  if (FindMallctl() != NULL) REQUIRE(ResidentBytes() < before + full / 2);
  for (int i = 0; i < kMany; i += kKept) {
    for (int k = 0; k < kSize; k++) REQUIRE(objects[i][k] == (char)i);
  }
  ReportWorkOut();
  return 0;
}
