// Tests of the mesh operation on real spans: contents, groups, members that leave, memory behind.
#include "src/meshing/mesher.h"

#include <gtest/gtest.h>

#include <cstring>

#include "src/global/size_class_batch.h"
#include "src/os/memory.h"
#include "test/global/test_heap.h"

namespace mesh {
namespace {

// Sizes that differ in slots a span and in pages a span.
constexpr size_t kSizes[] = {16, 48, 256, 448, 1024, 3840};

// Spans whose slots never collide: span i of n keeps the slots that are i modulo n.
std::vector<SpanObjects> MakeMeshable(TestHeap& heap, SizeClass size_class, size_t count) {
  std::vector<SpanObjects> spans = heap.MakeFull(size_class, count);
  EXPECT_EQ(spans.size(), count);
  for (size_t i = 0; i < spans.size(); i++) {
    heap.Thin(spans[i], [&](size_t slot) { return slot % count == i; });
  }
  return spans;
}

size_t ObjectsIn(const SpanObjects& span) {
  size_t count = 0;
  for (const char* object : span) count += object != nullptr ? 1 : 0;
  return count;
}

char* AnyOf(const SpanObjects& span) {
  for (char* object : span) {
    if (object != nullptr) return object;
  }
  return nullptr;
}

class MesherTest : public testing::TestWithParam<size_t> {
 protected:
  SizeClass size_class() const { return ClassFor(GetParam()); }
  size_t slots() const { return kSizeClasses[size_class()].slots; }
};

TEST_P(MesherTest, GroupsOfTwoToEight) {
  for (size_t count = 2; count <= 8; count++) {
    TestHeap heap;
    std::vector<SpanObjects> spans = MakeMeshable(heap, size_class(), count);
    heap.CheckAll();
    MeshResult result = heap.MeshIntoOne(size_class());
    EXPECT_EQ(result.spans_freed, count - 1);
    EXPECT_EQ(result.pages_freed, (count - 1) * kSizeClasses[size_class()].unit_pages);
    heap.CheckAll();
    EXPECT_EQ(heap.global().backing().bytes_in_use(), SpanOf(AnyOf(spans[0]))->length());
    heap.RewriteAll();
    heap.CheckAll();
    heap.FreeAll();
    heap.CheckAll();
    EXPECT_EQ(heap.global().backing().bytes_in_use(), 0u);
    EXPECT_EQ(heap.heap_of(size_class()).statistics().spans, 0u);
  }
}

TEST_P(MesherTest, MembersShowOneSetOfPages) {
  TestHeap heap;
  std::vector<SpanObjects> spans = MakeMeshable(heap, size_class(), 2);
  heap.MeshIntoOne(size_class());
  MiniHeap* first = SpanOf(AnyOf(spans[0]));
  MiniHeap* second = SpanOf(AnyOf(spans[1]));
  ASSERT_EQ(first->leader(), second->leader());
  EXPECT_EQ(memcmp(reinterpret_cast<void*>(first->address()),
                   reinterpret_cast<void*>(second->address()), first->length()),
            0);
  heap.RewriteAll();
  EXPECT_EQ(memcmp(reinterpret_cast<void*>(first->address()),
                   reinterpret_cast<void*>(second->address()), first->length()),
            0);
}

TEST_P(MesherTest, FreeSlotsOfAGroupAreHandedOutOnce) {
  TestHeap heap;
  std::vector<SpanObjects> spans = heap.MakeFull(size_class(), 2);
  heap.Thin(spans[0], [](size_t slot) { return slot == 0; });
  heap.Thin(spans[1], [](size_t slot) { return slot == 1; });
  heap.MeshIntoOne(size_class());
  // TestHeap fails when a slot comes twice, and contents differ when two objects share memory.
  for (size_t i = 0; i < slots() - 2; i++) {
    char* object = heap.Allocate(size_class());
    EXPECT_EQ(SpanOf(object), SpanOf(AnyOf(spans[0]))->leader());
  }
  heap.CheckAll();
  EXPECT_EQ(heap.heap_of(size_class()).statistics().spans, 2u);
  heap.Allocate(size_class());
  EXPECT_EQ(heap.heap_of(size_class()).statistics().spans, 3u);
  heap.FreeAll();
  heap.CheckAll();
}

TEST_P(MesherTest, GroupsMeshIntoGroups) {
  TestHeap heap;
  std::vector<SpanObjects> spans = MakeMeshable(heap, size_class(), 6);
  EXPECT_EQ(heap.MeshInGroupsOf(2, size_class()).spans_freed, 3u);
  heap.CheckAll();
  EXPECT_EQ(heap.global().backing().bytes_in_use(), 3 * SpanOf(AnyOf(spans[0]))->length());
  EXPECT_EQ(heap.MeshInGroupsOf(2, size_class()).spans_freed, 1u);
  heap.CheckAll();
  EXPECT_EQ(heap.MeshIntoOne(size_class()).spans_freed, 1u);
  heap.CheckAll();
  EXPECT_EQ(heap.global().backing().bytes_in_use(), SpanOf(AnyOf(spans[0]))->length());
  heap.FreeAll();
  heap.CheckAll();
}

// Of one group all spans are taken to others, and of plain spans, a leader first or last.
TEST_P(MesherTest, GroupsAreMadeAnew) {
  for (size_t before : {1, 3, 6}) {
    for (size_t groups : {1, 2, 5}) {
      TestHeap heap;
      std::vector<SpanObjects> spans = heap.MakeFull(size_class(), 6);
      for (size_t i = 0; i < spans.size(); i++) {
        heap.Thin(spans[i], [&](size_t slot) { return slot % 8 == i; });
      }
      heap.MeshInGroupsOf(before, size_class());
      heap.MakeAnew(groups, size_class());
      heap.CheckAll();
      const size_t length = SpanOf(AnyOf(spans[0]))->length();
      EXPECT_EQ(heap.global().backing().bytes_in_use(), groups * length);
      EXPECT_EQ(heap.heap_of(size_class()).statistics().meshed, 6 - groups);
      heap.RewriteAll();
      heap.CheckAll();
      heap.FreeAll();
      heap.CheckAll();
      EXPECT_EQ(heap.global().backing().bytes_in_use(), 0u);
    }
  }
}

// A batch takes from a group or adds to it, and adds once: where a move fails, a plan may want
// both.
TEST_P(MesherTest, ABatchDoesOneThingToAGroup) {
  TestHeap heap;
  std::vector<SpanObjects> spans = heap.MakeFull(size_class(), 6);
  std::vector<SpanId> ids;
  for (size_t i = 0; i < spans.size(); i++) {
    heap.Thin(spans[i], [&](size_t slot) { return slot % 8 == i; });
    ids.push_back(SpanOf(AnyOf(spans[i]))->id());
    if (i == 3) heap.MeshInGroupsOf(2, size_class());
  }
  SizeClassHeap& of_class = heap.heap_of(size_class());
  heap.global().budget().Refresh();
  Mesher mesher(heap.global().backing(), heap.global().barrier(), heap.global().budget());
  of_class.MeshBatch(mesher, [&](Gathered* gathered) {
    auto add = [&](size_t span, size_t to) {
      const SpanId target = to < ids.size() ? ids[to] : kNoSpan;
      const GatheredSpan found = of_class.GatherOneLocked(ids[span], target, 1, 64, gathered);
      return found.span != nullptr && mesher.AddOne(found.span, found.target);
    };
    constexpr size_t kNew = SIZE_MAX;
    // The first two spans are a group, and the next two.
    EXPECT_TRUE(add(0, kNew));
    EXPECT_FALSE(add(4, 1));
    EXPECT_TRUE(add(1, kNew));
    EXPECT_TRUE(add(4, 2));
    EXPECT_FALSE(add(5, 3));
    EXPECT_FALSE(add(3, kNew));
    EXPECT_EQ(mesher.planned(), 3u);
  });
  heap.CheckAll();
  heap.RewriteAll();
  heap.CheckAll();
}

// A leader without objects of its own is left behind, and goes when the last of the others does.
TEST_P(MesherTest, WhatIsLeftOfAGroupThatIsTakenApartGoes) {
  TestHeap heap;
  std::vector<SpanObjects> spans = MakeMeshable(heap, size_class(), 4);
  heap.MeshIntoOne(size_class());
  MiniHeap* leader = SpanOf(AnyOf(spans[0]))->leader();
  for (SpanObjects& span : spans) {
    if (SpanOf(AnyOf(span)) == leader) heap.Thin(span, [](size_t) { return false; });
  }
  EXPECT_EQ(heap.heap_of(size_class()).statistics().spans, 4u);
  heap.MakeAnew(3, size_class());
  EXPECT_EQ(heap.heap_of(size_class()).statistics().spans, 3u);
  heap.CheckAll();
  heap.FreeAll();
  heap.CheckAll();
}

TEST_P(MesherTest, EmptiedMembersLeaveTheGroup) {
  TestHeap heap;
  std::vector<SpanObjects> spans = MakeMeshable(heap, size_class(), 4);
  heap.MeshIntoOne(size_class());
  MiniHeap* leader = SpanOf(AnyOf(spans[0]))->leader();
  for (SpanObjects& span : spans) {
    if (ObjectsIn(span) == 0 || SpanOf(AnyOf(span)) == leader) continue;
    uint64_t before = heap.heap_of(size_class()).statistics().spans;
    uintptr_t address = SpanOf(AnyOf(span))->address();
    heap.Thin(span, [](size_t) { return false; });
    EXPECT_EQ(heap.heap_of(size_class()).statistics().spans, before - 1);
    EXPECT_TRUE(PageMap::Find(address).is_empty());
    heap.CheckAll();
  }
  EXPECT_TRUE(leader->is_alone());
  EXPECT_EQ(heap.global().backing().bytes_in_use(), leader->length());
  heap.FreeAll();
  EXPECT_EQ(heap.global().backing().bytes_in_use(), 0u);
  heap.CheckAll();
}

// The memory of a span that was an alias reads and writes as private memory does when it comes
// back.
TEST_P(MesherTest, MemoryOfAFreedGroupIsUsedAgain) {
  TestHeap heap;
  for (int round = 0; round < 3; round++) {
    std::vector<SpanObjects> spans = MakeMeshable(heap, size_class(), 5);
    EXPECT_EQ(heap.MeshIntoOne(size_class()).spans_freed, 4u);
    heap.CheckAll();
    heap.FreeAll();
    heap.CheckAll();
  }
  EXPECT_EQ(heap.global().backing().bytes_in_use(), 0u);
}

TEST_P(MesherTest, LongSpansMeshToo) {
  TestHeap heap;
  heap.heap_of(size_class()).set_spans_per_length(0);
  std::vector<SpanObjects> spans = MakeMeshable(heap, size_class(), 3);
  MiniHeap* span = SpanOf(AnyOf(spans[0]));
  EXPECT_EQ(span->units(), kSizeClasses[size_class()].max_units);
  EXPECT_EQ(heap.MeshIntoOne(size_class()).pages_freed, 2 * span->pages());
  heap.CheckAll();
  heap.FreeAll();
  heap.CheckAll();
}

// An alias and what the window still shows must not keep pages: after the mesh nobody has touched
// the group, and only the backing's own pages stay.
TEST_P(MesherTest, AliasesAreNotPopulatedByTheMesh) {
  TestHeap heap;
  std::vector<SpanObjects> spans = MakeMeshable(heap, size_class(), 4);
  heap.MeshIntoOne(size_class());
  MiniHeap* span = SpanOf(AnyOf(spans[1]));
  auto resident = os::ResidentPages(span->address(), span->length());
  ASSERT_TRUE(resident.ok());
  EXPECT_EQ(resident.value, span->pages());  // mincore counts what the page cache has
  EXPECT_EQ(heap.global().backing().bytes_in_use(), span->length());
}

// Private views: stores after the mesh make copies, which Fold() brings back into the backing.
TEST_P(MesherTest, FoldedSpansKeepTheirContentsAndStayWritable) {
  for (BarrierTier tier :
       {BarrierTier::kSingleThread, BarrierTier::kUserfault, BarrierTier::kSegv}) {
    SCOPED_TRACE(BarrierTierName(tier));
    TestHeap heap(tier);
    heap.global().ExpectForks(true);
    MakeMeshable(heap, size_class(), 4);
    heap.MeshIntoOne(size_class());
    // What may be a stack stays where it is, in the tier that kills for a store to one.
    const bool may_move = tier != BarrierTier::kSegv || kSizeClasses[size_class()].size < 2048;
    for (int round = 0; round < 3; round++) {
      heap.RewriteAll();
      EXPECT_EQ(heap.global().compactor().Fold(PassLimits(), true) > 0, may_move);
      heap.CheckAll();
    }
    heap.RewriteAll();
    heap.FreeAll();
    heap.CheckAll();
  }
}

INSTANTIATE_TEST_SUITE_P(Sizes, MesherTest, testing::ValuesIn(kSizes));

TEST(Mesher, MeshesAsManySpansAsABatchHolds) {
  TestHeap heap;
  SizeClass size_class = ClassFor(16);
  std::vector<SpanObjects> spans = MakeMeshable(heap, size_class, Mesher::kMaxMoves);
  MeshResult result = heap.MeshIntoOne(size_class);
  EXPECT_EQ(result.spans_freed, Mesher::kMaxMoves - 1);
  heap.CheckAll();
  heap.FreeAll();
  heap.CheckAll();
}

}  // namespace
}  // namespace mesh
