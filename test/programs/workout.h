// WorkOut: two threads that use and mesh the heap for a while, and check every byte of it.
//
// For programs that put the process into some tight spot first. Where nothing can be meshed, it
// ends all the same. Plain C, header only.
#ifndef TEST_PROGRAMS_WORKOUT_H_
#define TEST_PROGRAMS_WORKOUT_H_

#include "test/programs/tier.h"

// Until this many spans have been meshed; or so long, if anything was meshed or looked at; or,
// where that does not happen, so long at most [s].
enum { kWorkOutMeshes = 300, kWorkOutPasses = 4 };
static const double kWorkOutSeconds = 0.5;
static const double kMostWorkOutSeconds = 4;

typedef struct {
  double began;
  size_t meshes, passes;
} WorkOutStart;

static inline WorkOutStart StartWorkOut(void) {
  return (WorkOutStart){Seconds(), Statistic("stats.mesh_count"), Statistic("stats.mesh_passes")};
}
static inline int IsWorkedOut(const WorkOutStart* start) {
  double elapsed = Seconds() - start->began;
  if (FindMallctl() == NULL || elapsed > kMostWorkOutSeconds) return elapsed > kWorkOutSeconds;
  size_t meshes = Statistic("stats.mesh_count") - start->meshes;
  size_t passes = Statistic("stats.mesh_passes") - start->passes;
  if (meshes >= kWorkOutMeshes) return 1;
  return elapsed > kWorkOutSeconds && (meshes > 0 || passes >= kWorkOutPasses);
}

// The tier that the last WorkOut() was meshed in; its threads are gone when that is reported.
static const char* work_out_tier = "plain";

static inline const char* Tier(void) {
  const char* tier = "plain";
  size_t size = sizeof tier;
  Mallctl mallctl = FindMallctl();
  if (mallctl != NULL) {
    REQUIRE(mallctl("stats.barrier_tier", (void*)&tier, &size, NULL, 0) == 0);
  }
  return tier;
}

static inline void WorkOut(void) {
  enum { kNumbers = 400 };
  static volatile uint64_t* numbers[kNumbers];
  for (int i = 0; i < kNumbers; i++) {
    // Among objects that come and go, or their spans would be too full to be meshed.
    void* gap[6];
    for (int k = 0; k < 6; k++) gap[k] = malloc(Hidden(96));
    numbers[i] = calloc(1, Hidden(96));
    REQUIRE(numbers[i] != NULL);
    for (int k = 0; k < 6; k++) free(gap[k]);
  }
  stop_now = 0;
  pthread_t mesher;
  REQUIRE(pthread_create(&mesher, NULL, MeshAllTheWhile, NULL) == 0);
  WorkOutStart start = StartWorkOut();
  uint64_t sum = 0;
  while (!IsWorkedOut(&start)) {
    for (int i = 0; i < 10000; i++, sum++) ++*numbers[sum % kNumbers];
  }
  work_out_tier = Tier();
  stop_now = 1;
  REQUIRE(pthread_join(mesher, NULL) == 0);
  for (int i = 0; i < kNumbers; i++) {
    sum -= *numbers[i];
    free((void*)numbers[i]);
  }
  REQUIRE(sum == 0);
}

// What Report() says, of the last WorkOut().
static inline void ReportWorkOut(void) {
  printf("%s\n%zu\n", work_out_tier, Statistic("stats.mesh_count"));
}

#endif  // TEST_PROGRAMS_WORKOUT_H_
