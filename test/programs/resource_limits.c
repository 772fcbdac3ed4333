// One resource limit, set before the program begins anew: it runs, runs out of memory with ENOMEM
// where the limit says so, and has its memory back after free.
//
//   resource_limits as|data|fsize|nofile|memlock|stack|core LIMIT [nobody] [denied]
#include <sys/resource.h>

#include "test/programs/workout.h"

static const struct {
  const char* name;
  int resource;
  int is_of_memory;
} kLimits[] = {
    {"as", RLIMIT_AS, 1},         {"data", RLIMIT_DATA, 1},       {"fsize", RLIMIT_FSIZE, 0},
    {"nofile", RLIMIT_NOFILE, 0}, {"memlock", RLIMIT_MEMLOCK, 0}, {"stack", RLIMIT_STACK, 0},
    {"core", RLIMIT_CORE, 0},
};

enum { kMost = 200000, kSize = 8000 };

static int FillUp(void** objects) {
  int count = 0;
  while (count < kMost && (objects[count] = malloc(kSize)) != NULL) {
    memset(objects[count++], 1, kSize);
  }
  return count;
}

// A third of the limit at least has to be the program's; what the library keeps for itself is not
// to be felt.
static void RunOut(size_t limit) {
  static void* objects[kMost];
  for (int round = 0; round < 3; round++) {
    errno = 0;
    int count = FillUp(objects);
    REQUIRE(count < kMost && errno == ENOMEM);
    REQUIRE((size_t)count * kSize > limit / 3);
    for (int i = 0; i < count; i++) free(objects[i]);
  }
}

int main(int count, char** words) {
  REQUIRE(count >= 3);
  size_t limit = strtoull(words[2], NULL, 10);
  size_t which = 0;
  while (strcmp(kLimits[which].name, words[1]) != 0)
    REQUIRE(++which < sizeof kLimits / sizeof *kLimits);
  if (getenv("IS_LIMITED") == NULL) {
    REQUIRE(setenv("IS_LIMITED", "1", 1) == 0);
    struct rlimit both = {limit, limit};
    REQUIRE(setrlimit(kLimits[which].resource, &both) == 0);
    // Without descriptors the loader would not find a single library.
    if (kLimits[which].resource != RLIMIT_NOFILE) execv(words[0], words);
    REQUIRE(kLimits[which].resource == RLIMIT_NOFILE);
  }
  EnterSituation(count, words);
  WorkOut();
  if (kLimits[which].is_of_memory) RunOut(limit);
  WorkOut();
  ReportWorkOut();
  return 0;
}
