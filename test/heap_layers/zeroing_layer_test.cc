#include "heaplayers/zeroing_layer.h"

#include <gtest/gtest.h>

#include "heaplayers/arithmetic.h"
#include "heaplayers/shared_source.h"
#include "test/heap_layers/recording_heap.h"

namespace heaplayers {
namespace {

TEST(ZeroingLayer, ClearsWhenTheHeapBelowCannot) {
  RecordingHeap below;
  ZeroingLayer<RefSource<RecordingHeap>> heap(&below);
  static_assert(ZeroingHeap<decltype(heap)> && CallocHeap<decltype(heap)>);
  auto* p = static_cast<char*>(heap.calloc(10, 100));
  for (int i = 0; i < 1000; ++i) ASSERT_EQ(p[i], 0);
  heap.free(p);
}

TEST(ZeroingLayer, LeavesItToAHeapThatKnowsBetter) {
  FullRecordingHeap below;
  ZeroingLayer<RefSource<FullRecordingHeap>> heap(&below);
  heap.free(heap.calloc(10, 100));
  EXPECT_EQ(below.zeroed_mallocs, 1u);
  EXPECT_EQ(below.mallocs, 0u);
}

TEST(ZeroingLayer, RefusesAProductThatOverflows) {
  RecordingHeap below;
  ZeroingLayer<RefSource<RecordingHeap>> heap(&below);
  EXPECT_EQ(heap.calloc(std::size_t{1} << 33, (std::size_t{1} << 31) + 1), nullptr);
  EXPECT_EQ(heap.calloc(kImpossible, 2), nullptr);
  void* p = heap.calloc(0, kImpossible);
  EXPECT_NE(p, nullptr);
  heap.free(p);
}

}  // namespace
}  // namespace heaplayers
