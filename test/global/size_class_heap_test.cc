// Tests of SizeClassHeap: slots in and out, spans that come and go, what compaction takes away.
#include "src/global/size_class_heap.h"

#include <gtest/gtest.h>

#include <vector>

#include "test/global/test_heap.h"

namespace mesh {
namespace {

constexpr SizeClass kSmall = ClassFor(16);
constexpr SizeClass kOther = ClassFor(64);
static_assert(kSizeClasses[kSmall].unit_pages == kSizeClasses[kOther].unit_pages);

TEST(SizeClassHeap, SpansComeAndGoWithTheirObjects) {
  TestHeap heap;
  for (SizeClass c = 1; c < kClassCount; c++) {
    std::vector<SpanObjects> spans = heap.MakeFull(c, 3);
    heap.CheckAll();
    EXPECT_EQ(heap.heap_of(c).statistics().spans, 3u);
    for (SpanObjects& span : spans) {
      heap.Thin(span, [](size_t slot) { return slot == 0; });
      heap.Thin(span, [](size_t) { return false; });
    }
    heap.CheckAll();
    EXPECT_EQ(heap.heap_of(c).statistics().spans, 0u) << "class " << int{c};
  }
}

TEST(SizeClassHeap, RefillsFromTheFullestSpan) {
  TestHeap heap;
  std::vector<SpanObjects> spans = heap.MakeFull(kOther, 3);
  size_t slots = spans[0].size();
  heap.Thin(spans[0], [](size_t slot) { return slot < 2; });
  heap.Thin(spans[1], [&](size_t slot) { return slot < slots - 1; });
  heap.Thin(spans[2], [&](size_t slot) { return slot < slots / 2; });
  MiniHeap* fullest = SpanOf(spans[1][0]);
  EXPECT_EQ(SpanOf(heap.Allocate(kOther)), fullest);
  EXPECT_EQ(SpanOf(heap.Allocate(kOther)), SpanOf(spans[2][0]));
  heap.CheckAll();
}

TEST(SizeClassHeap, GivesNothingWithoutMemory) {
  TestHeap heap;
  char* object = heap.Allocate(kSmall);
  ASSERT_NE(object, nullptr);
  heap.FreeAll();
  heap.CheckAll();
}

// The thread still remembers the span that it drew from. Compaction takes it away, the arena gives
// it to another class, and the same thread draws from it there.
TEST(SizeClassHeap, ASpanThatWasTakenAwayIsNotDrawnFrom) {
  TestHeap heap;
  char* object = heap.Allocate(kSmall);
  uintptr_t address = SpanOf(object)->address();
  heap.Free(object);
  heap.Compact();
  char* other = heap.Allocate(kOther);
  ASSERT_EQ(SpanOf(other)->address(), address) << "the test expects the arena to reuse the pages";
  object = heap.Allocate(kSmall);
  EXPECT_NE(SpanOf(object), SpanOf(other));
  heap.CheckAll();
  heap.FreeAll();
  heap.CheckAll();
}

// The same, but the place is the middle of a longer span by now, or nothing at all.
TEST(SizeClassHeap, ASpanThatWasTakenAwayMayBeAnything) {
  for (bool is_reused : {true, false}) {
    TestHeap heap;
    constexpr SizeClass kLong = ClassFor(3840);
    static_assert(kSizeClasses[kLong].unit_pages > 1);
    std::vector<char*> objects;
    for (SizeClass c = 1; kSizeClasses[c].unit_pages == 1; c++) objects.push_back(heap.Allocate(c));
    for (char* object : objects) heap.Free(object);
    heap.Compact();
    while (is_reused && objects.size() < 200) objects.push_back(heap.Allocate(kLong));
    for (SizeClass c = 1; kSizeClasses[c].unit_pages == 1; c++) heap.Allocate(c);
    heap.CheckAll();
    heap.FreeAll();
    heap.CheckAll();
  }
}

TEST(SizeClassHeap, OthersCannotDetachASpan) {
  TestHeap heap;
  char* object = heap.Allocate(kSmall);
  SpanId id = SpanOf(object)->id();
  EXPECT_EQ(heap.heap_of(kSmall).statistics().attached, 1u);
  heap.heap_of(kSmall).Detach(1234, id);
  EXPECT_EQ(heap.heap_of(kSmall).statistics().attached, 1u);
  heap.heap_of(kOther).Detach(TestHeap::kOwner, id);
  EXPECT_EQ(heap.heap_of(kSmall).statistics().attached, 1u);
  heap.FreeAll();
  heap.CheckAll();
}

using SizeClassHeapDeathTest = testing::Test;

TEST(SizeClassHeapDeathTest, MisuseEndsTheProgram) {
  TestHeap heap;
  char* object = heap.Allocate(kOther);
  heap.Allocate(kOther);
  void* inside = object + 16;
  EXPECT_DEATH(heap.heap_of(kOther).Release(&inside, 1, [] {}), "middle of an object");
  void* twice[] = {object, object};
  EXPECT_DEATH(heap.heap_of(kOther).Release(twice, 2, [] {}), "double free");
}

TEST(SizeClassHeap, LenientReleasePassesOverWhatIsNoObject) {
  TestHeap heap;
  char* object = heap.Allocate(kOther);
  heap.Allocate(kOther);
  void* pointer = object;
  void* pointers[] = {object, reinterpret_cast<void*>(SpanOf(object)->address() - kPageSize)};
  heap.Free(object);
  heap.heap_of(kOther).Release(
      pointers, 2, [] {}, true);
  heap.heap_of(kOther).Release(
      &pointer, 1, [] {}, true);
  heap.CheckAll();
}

TEST(SizeClassHeap, WithdrawnSpansAreNotDrawnFrom) {
  TestHeap heap;
  std::vector<SpanObjects> spans = heap.MakeFull(kOther, 2);
  for (SpanObjects& span : spans) heap.Thin(span, [](size_t slot) { return slot == 0; });
  MiniHeap* leaders[8];
  Bitmap bits[8];
  uint16_t counts[8];
  uint32_t count = heap.heap_of(kOther).Withdraw(1, leaders, bits, counts);
  ASSERT_EQ(count, 2u);
  char* fresh = heap.Allocate(kOther);
  EXPECT_NE(SpanOf(fresh), leaders[0]);
  EXPECT_NE(SpanOf(fresh), leaders[1]);
  // One of them empties meanwhile, and goes when it comes back.
  heap.Thin(spans[0], [](size_t) { return false; });
  EXPECT_EQ(heap.heap_of(kOther).statistics().spans, 3u);
  heap.heap_of(kOther).Restore({leaders, count});
  EXPECT_EQ(heap.heap_of(kOther).statistics().spans, 2u);
  heap.CheckAll();
}

}  // namespace
}  // namespace mesh
