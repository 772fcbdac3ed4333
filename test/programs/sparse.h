// Small objects of known contents with holes between them: what a mesh, or a child that came into
// being at a bad moment, must leave as it is.
//
// Plain C, header only.
#ifndef TEST_PROGRAMS_SPARSE_H_
#define TEST_PROGRAMS_SPARSE_H_

#include "test/programs/check.h"

// One object of eight stays.
enum { kSparseObjects = 12000, kSparseOneIn = 8 };

static unsigned char* sparse[kSparseObjects];

static inline size_t SparseSize(size_t i) { return 16 + i * 7919 % 900; }

static inline void SparseStore(unsigned mark) {
  for (size_t i = 0; i < kSparseObjects; i++) {
    if (sparse[i] != NULL) memset(sparse[i], (int)((i + mark) & 0xff), SparseSize(i));
  }
}

static inline void SparseCheck(unsigned mark) {
  for (size_t i = 0; i < kSparseObjects; i++) {
    for (size_t at = 0; sparse[i] != NULL && at < SparseSize(i); at++) {
      REQUIRE(sparse[i][at] == (unsigned char)(i + mark));
    }
  }
}

static inline void SparseFree(void) {
  for (size_t i = 0; i < kSparseObjects; i++) {
    free(sparse[i]);
    sparse[i] = NULL;
  }
}

// Anew, at other addresses; what was there is freed.
static inline void SparseMake(unsigned mark) {
  static unsigned char* fresh[kSparseObjects];
  for (size_t i = 0; i < kSparseObjects; i++) {
    fresh[i] = malloc(SparseSize(i));
    REQUIRE(fresh[i] != NULL);
  }
  for (size_t i = 0; i < kSparseObjects; i++) {
    free(sparse[i]);
    sparse[i] = fresh[i];
  }
  for (size_t i = 0; i < kSparseObjects; i++) {
    if (i % kSparseOneIn == 0) continue;
    free(sparse[i]);
    sparse[i] = NULL;
  }
  SparseStore(mark);
}

// Makes holes, and has them meshed, until `count` spans more are.
static inline void RequireMeshing(size_t count, unsigned mark) {
  const size_t before = StatisticIfMesh("stats.mesh_count");
  for (int tries = 0; tries < 50; tries++) {
    SparseMake(mark);
    CompactIfMesh();
    SparseCheck(mark);
    const size_t now = StatisticIfMesh("stats.mesh_count");
    if (now >= before + count || !HasMesh()) return;
  }
  REQUIRE(!"no more is meshed");
}

#endif  // TEST_PROGRAMS_SPARSE_H_
