#include "heaplayers/hybrid_layer.h"

#include <gtest/gtest.h>

#include <cstring>

#include "heaplayers/bump_source.h"
#include "heaplayers/freelist_layer.h"
#include "heaplayers/page_source.h"
#include "heaplayers/shared_source.h"
#include "test/heap_layers/recording_heap.h"

namespace heaplayers {
namespace {

using Full = RefSource<FullRecordingHeap>;
using Hybrid = HybridLayer<ThresholdRoute<1024>, Full, Full>;
static_assert(ResizingHeap<Hybrid> && AligningHeap<Hybrid> && ZeroingHeap<Hybrid>);
static_assert(OwningHeap<Hybrid> && ClearableHeap<Hybrid>);

TEST(HybridLayer, SizeAndAlignmentChooseTheHeap) {
  FullRecordingHeap small, large;
  Hybrid heap(&small, &large);
  void* a = heap.malloc(1024);
  void* b = heap.malloc(1025);
  void* c = heap.memalign(1024, 1);
  void* d = heap.memalign(2048, 1);
  EXPECT_TRUE(small.owns(a) && large.owns(b) && small.owns(c) && large.owns(d));
  heap.malloc_zeroed(1);
  heap.malloc_zeroed(5000);
  EXPECT_EQ(small.zeroed_mallocs, 1u);
  EXPECT_EQ(large.zeroed_mallocs, 1u);
  EXPECT_EQ(heap.usable_size(a), 1024u);
  EXPECT_EQ(heap.usable_size(b), 1025u);
  heap.free(a);
  heap.free(b);
  EXPECT_EQ(small.frees, 1u);
  EXPECT_EQ(large.frees, 1u);
  heap.clear();
}

TEST(HybridLayer, ResizeNeverCrossesTheThreshold) {
  FullRecordingHeap small, large;
  Hybrid heap(&small, &large);
  void* a = heap.malloc(100);
  EXPECT_EQ(heap.try_resize(a, 2000), nullptr);
  a = heap.try_resize(a, 200);
  EXPECT_EQ(small.resizes, 1u);
  void* b = heap.malloc(2000);
  EXPECT_EQ(heap.try_resize(b, 100), nullptr);
  b = heap.try_resize(b, 3000);
  EXPECT_EQ(large.resizes, 1u);
  heap.free(a);
  heap.free(b);
}

// Only the large heap knows its own, only the small one clears by hand.
using Small = FreelistLayer<BumpSource<4096>>;
struct AddressRoute : ThresholdRoute<256> {};

TEST(HybridLayer, StacksByValueAreConstantInitialised) {
  static constinit HybridLayer<AddressRoute, Small, MmapSource> heap;
  void* a = heap.malloc(256);
  std::memset(a, 1, 256);
  heap.free(a);
  auto* zeroed = static_cast<char*>(heap.malloc_zeroed(256));
  EXPECT_EQ(zeroed, a);
  for (int i = 0; i < 256; ++i) ASSERT_EQ(zeroed[i], 0);
  void* b = heap.malloc(257);
  heap.free(zeroed);
  heap.free(b);
}

// A policy of one's own, as an allocator with a page table would have it.
struct OddIsLarge {
  static bool IsLargeRequest(std::size_t, std::size_t size) { return size % 2 == 1; }
  static bool IsLargeObject(Full&, Full& large, const void* p) { return large.owns(p); }
};

TEST(HybridLayer, TakesAnyRoute) {
  FullRecordingHeap even, odd;
  HybridLayer<OddIsLarge, Full, Full> heap(&even, &odd);
  heap.free(heap.malloc(3));
  EXPECT_EQ(odd.mallocs, 1u);
  EXPECT_EQ(odd.frees, 1u);
  EXPECT_EQ(even.mallocs, 0u);
}

}  // namespace
}  // namespace heaplayers
