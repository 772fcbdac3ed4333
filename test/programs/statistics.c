// No statistic is always zero: each that counts something has a value once that has happened, and
// follows it.
#include "test/programs/check.h"

typedef int (*Mallctl)(const char*, void*, size_t*, void*, size_t);
static Mallctl mallctl;

static uint64_t Get(const char* name) {
  char key[64];
  snprintf(key, sizeof key, "stats.%s", name);
  uint64_t value = 0;
  size_t size = sizeof value;
  REQUIRE(mallctl(key, &value, &size, NULL, 0) == 0);
  return value;
}

static const char* const kPositive[] = {
    "mesh_count",
    "meshed_pages_total",
    "meshed_pages_now",
    "meshed_pages_hwm",
    "mesh_passes",
    "miniheap_alloc_count",
    "miniheap_free_count",
    "miniheap_hwm",
    "live_bytes",
    "large_count",
    "large_bytes",
    "mapped_bytes",
    "arena_segments",
    "arena_reserved_bytes",
    "arena_committed_bytes",
    "backing_bytes",
    "pss_bytes",
    "pss_anon_bytes",
    "rss_bytes",
    "mappings_used",
    "mappings_budget",
    "active",
    "allocated",
    "resident",
};

enum { kObjects = 100000, kSize = 100, kMany = 1000, kLarge = 1000000 };

int main(void) {
  *(void**)&mallctl = dlsym(RTLD_DEFAULT, "mesh_mallctl");
  REQUIRE(mallctl != NULL);
  static char* objects[kObjects];
  static char* whole[kMany];
  for (int i = 0; i < kObjects; i++) memset(objects[i] = malloc(kSize), 1, kSize);
  for (int i = 0; i < kMany; i++) whole[i] = malloc(10 * kSize);
  uint64_t full = Get("live_bytes");
  uint64_t allocated = Get("allocated");
  REQUIRE(full >= (uint64_t)kObjects * kSize && allocated >= (uint64_t)kObjects * kSize);
  for (int i = 0; i < kObjects; i++) {
    if (i % 10 != 0) free(objects[i]);
  }
  REQUIRE(Get("live_bytes") < full / 5 && Get("allocated") < allocated / 5);
  for (int i = 0; i < kMany; i++) free(whole[i]);
  // A library of the program's may hold some, too.
  uint64_t large_before = Get("large_count");
  uint64_t large_bytes_before = Get("large_bytes");
  char* large = malloc(kLarge);
  memset(large, 1, kLarge);
  CompactIfMesh();
  for (size_t i = 0; i < sizeof kPositive / sizeof *kPositive; i++) {
    if (Get(kPositive[i]) > 0) continue;
    fprintf(stderr, "stats.%s is 0\n", kPositive[i]);
    _exit(1);
  }
  REQUIRE(Get("large_bytes") >= large_bytes_before + kLarge);
  REQUIRE(Get("resident") <= Get("rss_bytes"));
  free(large);
  REQUIRE(Get("large_count") == large_before && Get("large_bytes") == large_bytes_before);
  return 0;
}
