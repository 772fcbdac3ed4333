#include "heaplayers/freelist_layer.h"

#include <gtest/gtest.h>

#include "heaplayers/shared_source.h"
#include "test/heap_layers/recording_heap.h"

namespace heaplayers {
namespace {

using Listed = FreelistLayer<RefSource<FullRecordingHeap>>;
static_assert(SizedHeap<Listed> && OwningHeap<Listed> && ClearableHeap<Listed>);
static_assert(!AligningHeap<Listed> && !ResizingHeap<Listed>, "would break the one size");

TEST(FreelistLayer, HandsTheNewestFreeObjectOutFirst) {
  FullRecordingHeap below;
  Listed heap(&below);
  void* a = heap.malloc(32);
  void* b = heap.malloc(32);
  heap.free(a);
  heap.free(b);
  EXPECT_EQ(below.frees, 0u);
  EXPECT_EQ(heap.malloc(32), b);
  EXPECT_EQ(heap.malloc(32), a);
  EXPECT_EQ(below.mallocs, 2u);
  heap.malloc(32);
  EXPECT_EQ(below.mallocs, 3u);
  heap.clear();
}

TEST(FreelistLayer, EvenTheSmallestObjectHoldsALink) {
  FullRecordingHeap below;
  Listed heap(&below);
  heap.free(heap.malloc(0));
  EXPECT_EQ(below.last_size, sizeof(void*));
  heap.clear();
}

TEST(FreelistLayer, ClearForgetsTheFreeObjects) {
  FullRecordingHeap below;
  Listed heap(&below);
  heap.free(heap.malloc(32));
  heap.clear();
  EXPECT_EQ(below.clears, 1u);
  heap.malloc(32);
  EXPECT_EQ(below.mallocs, 2u);
  heap.clear();
}

}  // namespace
}  // namespace heaplayers
