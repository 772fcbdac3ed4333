#include "heaplayers/fallback_layer.h"

#include <gtest/gtest.h>

#include "heaplayers/bump_source.h"
#include "heaplayers/shared_source.h"
#include "test/heap_layers/recording_heap.h"

namespace heaplayers {
namespace {

using Falling = FallbackLayer<BumpSource<64>, RefSource<RecordingHeap>>;
static_assert(!SizedHeap<Falling> && !OwningHeap<Falling>);

// BumpSource cannot be moved into place; a stack of references shows both constructors' use.
using Referring = FallbackLayer<RefSource<BumpSource<64>>, RefSource<RecordingHeap>>;

TEST(FallbackLayer, ServesFromTheSecondWhenTheFirstIsFull) {
  BumpSource<64> first;
  RecordingHeap second;
  Referring heap(&first, &second);
  void* inside = heap.malloc(64);
  EXPECT_TRUE(first.owns(inside));
  void* outside = heap.malloc(64);
  ASSERT_NE(outside, nullptr);
  EXPECT_EQ(second.mallocs, 1u);
  heap.free(inside);
  EXPECT_EQ(second.frees, 0u);
  heap.free(outside);
  EXPECT_EQ(second.frees, 1u);
}

TEST(FallbackLayer, NullOnlyWhenBothRefuse) {
  BumpSource<64> first;
  RecordingHeap second;
  second.refuses = true;
  Referring heap(&first, &second);
  EXPECT_NE(heap.malloc(64), nullptr);
  EXPECT_EQ(heap.malloc(64), nullptr);
}

TEST(FallbackLayer, RefinementsAskTheOwner) {
  FullRecordingHeap first, second;
  FallbackLayer<RefSource<FullRecordingHeap>, RefSource<FullRecordingHeap>> heap(&first, &second);
  void* a = heap.memalign(64, 10);
  first.refuses = true;
  void* b = heap.memalign(64, 20);
  EXPECT_TRUE(first.owns(a) && second.owns(b));
  EXPECT_EQ(heap.usable_size(a), 10u);
  EXPECT_EQ(heap.usable_size(b), 20u);
  EXPECT_TRUE(heap.owns(a) && heap.owns(b) && !heap.owns(&heap));
  heap.clear();
  EXPECT_EQ(first.clears + second.clears, 2u);
}

}  // namespace
}  // namespace heaplayers
