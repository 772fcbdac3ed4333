#include "heaplayers/counting_layer.h"

#include <gtest/gtest.h>

#include <thread>

#include "heaplayers/counters.h"
#include "heaplayers/shared_source.h"
#include "test/heap_layers/recording_heap.h"

namespace heaplayers {
namespace {

template <class Counter>
class CountingLayerTest : public testing::Test {};
using Counters = testing::Types<PlainCounter, AtomicCounter>;
TYPED_TEST_SUITE(CountingLayerTest, Counters);

TYPED_TEST(CountingLayerTest, BalancesObjectsAndBytes) {
  FullRecordingHeap below;
  CountingLayer<TypeParam, RefSource<FullRecordingHeap>> heap(&below);
  static_assert(ResizingHeap<decltype(heap)> && !ClearableHeap<decltype(heap)>);
  void* a = heap.malloc(100);
  void* b = heap.memalign(64, 50);
  void* c = heap.malloc_zeroed(25);
  EXPECT_EQ(heap.counts().allocations, 3);
  EXPECT_EQ(heap.counts().live_bytes, 175);
  heap.free(b);
  a = heap.try_resize(a, 110);
  EXPECT_EQ(heap.counts().live_bytes, 135);
  EXPECT_EQ(heap.counts().peak_bytes, 175);
  heap.free(a);
  heap.free(c);
  EXPECT_EQ(heap.counts().frees, 3);
  EXPECT_EQ(heap.counts().live_bytes, 0);
}

TYPED_TEST(CountingLayerTest, RefusedRequestsDoNotCount) {
  FullRecordingHeap below;
  CountingLayer<TypeParam, RefSource<FullRecordingHeap>> heap(&below);
  void* p = heap.malloc(8);
  below.refuses = true;
  EXPECT_EQ(heap.malloc(1), nullptr);
  EXPECT_EQ(heap.try_resize(p, 100), nullptr);
  EXPECT_EQ(heap.counts().allocations, 1);
  EXPECT_EQ(heap.counts().live_bytes, 8);
  heap.free(p);
}

TEST(AtomicCounter, LosesNoUpdateAndKeepsTheHighest) {
  AtomicCounter sum, highest;
  auto work = [&](int base) {
    for (int i = 0; i < 20000; ++i) {
      sum.Add(1);
      highest.RaiseTo(base + i);
    }
  };
  std::thread first(work, 0);
  std::thread second(work, 500);
  first.join();
  second.join();
  EXPECT_EQ(sum.value(), 40000);
  EXPECT_EQ(highest.value(), 20499);
}

}  // namespace
}  // namespace heaplayers
