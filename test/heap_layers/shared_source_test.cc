#include "heaplayers/shared_source.h"

#include <gtest/gtest.h>

#include <type_traits>

#include "heaplayers/bump_layer.h"
#include "heaplayers/freelist_layer.h"
#include "test/heap_layers/recording_heap.h"

namespace heaplayers {
namespace {

using Full = RefSource<FullRecordingHeap>;
static_assert(ResizingHeap<Full> && AligningHeap<Full> && ZeroingHeap<Full>);
static_assert(OwningHeap<Full> && ClearableHeap<Full>);
static_assert(Heap<RefSource<RecordingHeap>> && !SizedHeap<RefSource<RecordingHeap>>);

constinit RecordingHeap g_shared;
static_assert(std::is_empty_v<StaticSource<g_shared>>);

TEST(RefSource, PassesEveryOperationOn) {
  FullRecordingHeap below;
  Full heap(&below);
  void* p = heap.malloc(10);
  EXPECT_TRUE(heap.owns(p));
  EXPECT_EQ(heap.usable_size(p), 10u);
  p = heap.try_resize(p, 20);
  EXPECT_EQ(heap.usable_size(p), 20u);
  heap.free(p);
  heap.memalign(64, 1);
  heap.malloc_zeroed(1);
  EXPECT_EQ(below.memaligns + below.zeroed_mallocs + below.resizes + below.frees, 4u);
  heap.clear();
  EXPECT_EQ(below.clears, 1u);
}

TEST(StaticSource, LetsTwoStacksShareOneHeap) {
  FreelistLayer<StaticSource<g_shared>> first;
  FreelistLayer<StaticSource<g_shared>> second;
  void* p = first.malloc(8);
  void* q = second.malloc(8);
  EXPECT_EQ(g_shared.mallocs, 2u);
  g_shared.free(p);
  g_shared.free(q);
}

}  // namespace
}  // namespace heaplayers
