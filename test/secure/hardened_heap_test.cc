// Tests of the hardened heap through its own functions, at each level: sizes are exact, contents
// stay, and what is written where nothing may be written ends the program, also after a mesh.
#include "src/runtime/hardened_heap.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <vector>

#include "src/arena/page_map.h"
#include "src/base/units.h"
#include "src/runtime/fast_path.h"
#include "src/runtime/heap.h"
#include "src/runtime/program_heaps.h"
#include "src/runtime/runtime.h"
#include "src/secure/policy.h"

namespace mesh {
namespace {

// The level is that of the environment, as the heap is the process's.
class HardenedHeapTest : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    Free(Malloc(1));
    ASSERT_GT(secure_policy.level, 0);
  }
  static char* Filled(size_t size, int value) {
    return static_cast<char*>(memset(Malloc(size), value, size));
  }
};

TEST_F(HardenedHeapTest, SizesAreExact) {
  for (size_t size = 1; size < 200000; size += size / 7 + 1) {
    void* object = Malloc(size);
    if (secure_policy.has_canaries) {
      ASSERT_EQ(UsableSize(object), size);
    }
    ASSERT_GE(UsableSize(object), size);
    ASSERT_EQ(reinterpret_cast<uintptr_t>(object) % 16, 0u);
    for (size_t alignment = 16; alignment <= 64 * kKiB; alignment *= 4) {
      void* aligned = AlignedAlloc(alignment, size);
      ASSERT_EQ(reinterpret_cast<uintptr_t>(aligned) % alignment, 0u);
      ASSERT_GE(UsableSize(aligned), size);
      memset(aligned, 1, UsableSize(aligned));
      FastFreeSized(aligned, size, alignment);
    }
    memset(object, 2, UsableSize(object));
    FastFreeSized(object, size, 0);
  }
}

// Also one of which only its pages tell how long it is.
TEST_F(HardenedHeapTest, ObjectsOfMoreThanFourGiB) {
  constexpr size_t kSize = 5 * kGiB - 100;
  ProgramHeap* heap = NewHeap();
  for (void* object : {Malloc(kSize), AllocateIn(heap, kSize, 16, false)}) {
    if (object == nullptr) GTEST_SKIP() << "the kernel does not promise so much memory here";
    EXPECT_GE(UsableSize(object), kSize);
    EXPECT_LT(UsableSize(object), kSize + kPageSize);
    static_cast<char*>(object)[kSize - 1] = 1;
    Free(object);
  }
  DestroyHeap(heap);
}

// Nobody knows any more what they were asked for.
TEST_F(HardenedHeapTest, ObjectsOfADeletedHeapAreFreedByTheirSize) {
  for (size_t size : {1u, 40u, 48u, 5000u, 100000u}) {
    ProgramHeap* heap = NewHeap();
    void* object = AllocateIn(heap, size, 16, false);
    void* aligned = AllocateIn(heap, size, 4096, false);
    void* grown = AllocateIn(heap, size, 16, false);
    DeleteHeap(heap);
    FastFreeSized(object, size, 0);
    FastFreeSized(aligned, size, 4096);
    grown = Realloc(grown, 3 * size);
    FastFreeSized(grown, 3 * size, 0);
  }
}

// What the objects of such a heap have left in free slots is no write after a free.
TEST_F(HardenedHeapTest, SlotsOfADeletedHeapAreUsedAgain) {
  for (size_t size : {16u, 40u, 1000u, 5000u}) {
    ProgramHeap* heap = NewHeap();
    std::vector<void*> objects(2000);
    for (void*& object : objects) object = memset(AllocateIn(heap, size, 16, false), 0xee, size);
    for (size_t i = 0; i < objects.size(); i++) {
      if (i % 16 != 0) Free(objects[i]);
    }
    DeleteHeap(heap);
    std::vector<unsigned char*> fresh(4000);
    for (unsigned char*& object : fresh) {
      object = static_cast<unsigned char*>(Malloc(size - 1));
      for (size_t i = 0; secure_policy.clears && i < size - 1; i++) ASSERT_EQ(object[i], 0);
    }
    for (unsigned char* object : fresh) Free(object);
    for (size_t i = 0; i < objects.size(); i += 16) Free(objects[i]);
  }
}

// Their pages were the main heap's before, which has left its states there.
TEST_F(HardenedHeapTest, AProgramHeapIsMeshed) {
  constexpr size_t kSize = 60;
  std::vector<void*> objects(60000);
  for (void*& object : objects) object = Filled(kSize, 1);
  for (void* object : objects) Free(object);
  ProgramHeap* heap = NewHeap();
  for (void*& object : objects) object = memset(AllocateIn(heap, kSize, 16, false), 0xee, kSize);
  for (int round = 1; round <= 3; round++) {
    for (size_t i = 0; i < objects.size(); i++) {
      if (i % 16 == 0) continue;
      Free(objects[i]);
      objects[i] = nullptr;
    }
    EXPECT_GT(CollectHeap(heap, true), 0u);
    for (void*& object : objects) {
      if (object == nullptr) object = AllocateIn(heap, kSize, 16, false);
      memset(object, round, kSize);
    }
  }
  for (void* object : objects) Free(object);
  DestroyHeap(heap);
}

// Pages that one size has left are another one's, and its canaries lie elsewhere.
TEST_F(HardenedHeapTest, PagesPassFromSizeToSize) {
  std::vector<char*> objects(3000);
  for (size_t size : {24u, 200u, 1000u, 2000u, 9000u, 56u, 3000u, 700u}) {
    const size_t count = std::min(objects.size(), 4 * kMiB / size);
    for (size_t i = 0; i < count; i++) objects[i] = Filled(size - i % 8, 0x55);
    for (size_t i = 0; i < count; i++) Free(objects[i]);
  }
}

// Beyond what the thread keeps: its slots have been in the global heap.
TEST_F(HardenedHeapTest, AWriteLongAfterTheFreeIsFatal) {
  if (!secure_policy.clears) GTEST_SKIP() << "freed memory is not looked at";
  for (size_t size : {30u, 400u, 3000u}) {
    auto write_late = [=] {
      std::vector<char*> objects(4000);
      for (char*& object : objects) object = Filled(size, 1);
      for (char* object : objects) Free(object);
      for (char* object : objects) const_cast<volatile char*>(object)[size / 2] = 1;
      for (char*& object : objects) object = Filled(size, 1);
    };
    EXPECT_DEATH(write_late(), "mesh: an object was written to after it was freed: 0x");
  }
}

TEST_F(HardenedHeapTest, ContentsStayWhenAnObjectIsResized) {
  std::vector<size_t> sizes = {1, 15, 16, 17, 500, 40, 4000, 33000, 300, 2000000, 2000100, 90000};
  auto* object = static_cast<unsigned char*>(Malloc(7));
  memset(object, 0x31, 7);
  size_t old_size = 7;
  for (size_t size : sizes) {
    object = static_cast<unsigned char*>(Realloc(object, size));
    const size_t kept = old_size < size ? old_size : size;
    for (size_t i = 0; i < kept; i++) ASSERT_EQ(object[i], 0x31) << size;
    memset(object, 0x31, size);
    old_size = size;
  }
  Free(object);
}

// As a list grows: in place, into memory of freed ones, and by moving; the old place is shut.
TEST_F(HardenedHeapTest, WhatALargeObjectGainsIsZeros) {
  if (!secure_policy.guards_large) GTEST_SKIP() << "large objects have no guards";
  for (int round = 0; round < 5; round++) {
    size_t size = 40000;
    char* object = Filled(size, 7);
    size_t moves = 0;
    while (size < 3000000) {
      const size_t old_size = size;
      char* const old = object;
      size += size / 8;
      object = static_cast<char*>(Realloc(old, size));
      for (size_t i = old_size; i < size; i++) ASSERT_EQ(object[i], 0) << size;
      for (size_t i = 0; i < old_size; i += 512) ASSERT_EQ(object[i], 7) << size;
      memset(object, 7, size);
      EXPECT_EQ(UsableSize(object), size);
      if (object == old) continue;
      moves++;
      if (round < 4) continue;
      EXPECT_DEATH(*const_cast<volatile char*>(old) = 1, "");
    }
    EXPECT_LE(moves, 7u);  // it is given room to double
    Free(object);
  }
}

TEST_F(HardenedHeapTest, ZeroedIsZeroed) {
  for (int round = 0; round < 50; round++) {
    for (size_t size : {1u, 24u, 1000u, 30000u, 100000u}) {
      auto* object = static_cast<unsigned char*>(Calloc(size));
      for (size_t i = 0; i < size; i++) ASSERT_EQ(object[i], 0);
      memset(object, 0xee, size);
      Free(object);
    }
  }
}

TEST_F(HardenedHeapTest, FreedTwiceIsFatal) {
  for (size_t size : {8u, 100u, 20000u, 1000000u}) {
    auto free_twice = [=] {
      void* object = Malloc(size);
      Free(object);
      Free(object);
    };
    EXPECT_DEATH(free_twice(), "mesh: (double free|free of a pointer that is not in use): 0x");
  }
}

// Meshed spans share memory: each slot keeps its canary, and what is freed stays zeros.
TEST_F(HardenedHeapTest, IsRightAfterAMesh) {
  constexpr size_t kObjects = 40000;
  std::vector<char*> objects(kObjects);
  for (size_t i = 0; i < kObjects; i++) objects[i] = Filled(50 + i % 14, static_cast<int>(i));
  for (int round = 0; round < 3; round++) {
    for (size_t i = 0; i < kObjects; i++) {
      if (i % 8 == 0) continue;
      Free(objects[i]);
      objects[i] = nullptr;
    }
    ASSERT_GT(Runtime::Get().Compact(), 0u);
    for (size_t i = 0; i < kObjects; i++) {
      if (objects[i] == nullptr) {
        objects[i] = Filled(50 + i % 14, static_cast<int>(i));
      } else {
        for (size_t k = 0; k < 50; k++) ASSERT_EQ(objects[i][k], static_cast<char>(i));
      }
    }
  }
  for (char* object : objects) Free(object);
}

TEST_F(HardenedHeapTest, AnOverflowAfterAMeshIsFatal) {
  if (!secure_policy.has_canaries) GTEST_SKIP() << "there are no canaries";
  std::vector<char*> objects(20000);
  for (char*& object : objects) object = Filled(50, 1);
  for (size_t i = 0; i < objects.size(); i++) {
    if (i % 8 != 0) Free(objects[i]);
  }
  ASSERT_GT(Runtime::Get().Compact(), 0u);
  objects[8000][50] = 0;
  EXPECT_DEATH(Free(objects[8000]), "mesh: a write beyond the end of an object: 0x");
}

// [A2] No overflow of an object reaches what the heap keeps of it.
TEST_F(HardenedHeapTest, MetadataLiesBehindGuards) {
  auto address = reinterpret_cast<uintptr_t>(Malloc(100));
  const Segment& segment = PageMap::SegmentAt(address);
  auto entries = reinterpret_cast<uintptr_t>(segment.entries);
  auto records = reinterpret_cast<uintptr_t>(segment.records);
  auto states = reinterpret_cast<uintptr_t>(segment.states);
  for (uintptr_t kept : {entries, records, states}) {
    if (kept == 0) continue;  // states, at level 1
    EXPECT_GE(kept - segment.base, size_t{segment.pages} << kPageShift);
  }
  // The pages between and behind are reserved and without access.
  for (uintptr_t guard : {records - kPageSize, states - kPageSize,
                          segment.metadata + segment.metadata_size - kPageSize}) {
    if (states == 0 && guard == states - kPageSize) continue;
    EXPECT_DEATH(*reinterpret_cast<volatile char*>(guard) = 1, "");
  }
}

}  // namespace
}  // namespace mesh
