// Dies of SIGABRT with a meshed heap full of known bytes, for its core dump to be looked at.
// `victim_objects` are what the debugger reads: object i holds the low byte of i, kVictimSize
// times.
//
//   core_victim [nobody] [denied]
#include <sys/resource.h>

#include "test/programs/workout.h"

enum { kVictimObjects = 2000, kVictimSize = 200, kGap = 9 };
unsigned char* victim_objects[kVictimObjects];

int main(int count, char** words) {
  struct rlimit core;
  REQUIRE(getrlimit(RLIMIT_CORE, &core) == 0);
  core.rlim_cur = core.rlim_max;
  REQUIRE(setrlimit(RLIMIT_CORE, &core) == 0);
  EnterSituation(count, words);
  REQUIRE(prctl(PR_SET_DUMPABLE, 1) == 0);
  WorkOut();
  static void* gaps[kVictimObjects * kGap];
  for (int i = 0; i < kVictimObjects; i++) {
    for (int k = 0; k < kGap; k++) gaps[i * kGap + k] = malloc(kVictimSize);
    victim_objects[i] = malloc(kVictimSize);
    memset(victim_objects[i], i, kVictimSize);
  }
  // A pass in the background may be first to mesh what the gaps leave.
  size_t meshed = Statistic("stats.mesh_count");
  for (int i = 0; i < kVictimObjects * kGap; i++) free(gaps[i]);
  CompactIfMesh();
  REQUIRE(FindMallctl() == NULL || Statistic("stats.mesh_count") > meshed);
  abort();
}
