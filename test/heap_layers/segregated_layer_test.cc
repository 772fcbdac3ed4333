#include "heaplayers/segregated_layer.h"

#include <gtest/gtest.h>

#include <cstring>

#include "heaplayers/bump_source.h"
#include "heaplayers/freelist_layer.h"
#include "heaplayers/null_source.h"
#include "heaplayers/page_source.h"
#include "heaplayers/size_classes.h"
#include "heaplayers/size_header_layer.h"

namespace heaplayers {
namespace {

using Classes = PowerOfTwoClasses<16, 1024>;
static_assert(SizeClasses<Classes> && Classes::kCount == 7);

TEST(PowerOfTwoClasses, ClassIsTheFirstThatHoldsTheSize) {
  for (std::size_t size = 0; size <= Classes::kMaxSize; ++size) {
    const std::size_t size_class = Classes::ClassOf(size);
    ASSERT_LT(size_class, Classes::kCount);
    ASSERT_GE(Classes::SizeOf(size_class), size);
    if (size_class > 0) {
      ASSERT_LT(Classes::SizeOf(size_class - 1), size);
    }
  }
  EXPECT_EQ(Classes::SizeOf(Classes::kCount - 1), Classes::kMaxSize);
}

using Bin = FreelistLayer<SizeHeaderLayer<BumpSource<8192>>>;
using Segregated = SegregatedLayer<Classes, Bin, SizeHeaderLayer<MmapSource>>;
static_assert(SizedHeap<Segregated> && ZeroingHeap<Segregated> && ResizingHeap<Segregated>);
static_assert(!ClearableHeap<Segregated>);

TEST(SegregatedLayer, ReusesAnObjectWithinItsClassOnly) {
  Segregated heap;
  void* p = heap.malloc(100);
  EXPECT_EQ(heap.usable_size(p), 128u);
  heap.free(p);
  EXPECT_NE(heap.malloc(64), p);
  EXPECT_NE(heap.malloc(129), p);
  EXPECT_EQ(heap.malloc(128), p);
}

TEST(SegregatedLayer, LargeObjectsGoToTheLargeHeap) {
  Segregated heap;
  void* small = heap.malloc(1024);
  void* large = heap.malloc(1025);
  EXPECT_EQ(heap.usable_size(large), 1025u);
  EXPECT_EQ(heap.try_resize(small, 2000), nullptr);
  EXPECT_EQ(heap.try_resize(large, 1000), nullptr);
  large = heap.try_resize(large, 100000);
  ASSERT_NE(large, nullptr);
  EXPECT_EQ(heap.usable_size(large), 100000u);
  heap.free(large);
  heap.free(small);
  EXPECT_EQ(heap.malloc(1000), small);
}

// Sees which objects reach the large heap.
struct WatchedLarge : SizeHeaderLayer<MmapSource> {
  static inline int resizes = 0;
  void* try_resize(void* p, std::size_t size) {
    ++resizes;
    return SizeHeaderLayer::try_resize(p, size);
  }
};

TEST(SegregatedLayer, OnlyObjectsThatStayLargeAreResized) {
  SegregatedLayer<Classes, Bin, WatchedLarge> heap;
  EXPECT_EQ(heap.try_resize(heap.malloc(1024), 2000), nullptr);
  void* large = heap.malloc(2000);
  EXPECT_EQ(heap.try_resize(large, 1024), nullptr);
  EXPECT_EQ(WatchedLarge::resizes, 0);
  large = heap.try_resize(large, 1025);
  EXPECT_EQ(WatchedLarge::resizes, 1);
  heap.free(large);
}

TEST(SegregatedLayer, ZeroedObjectsAreZeroWhenReused) {
  Segregated heap;
  void* p = heap.malloc(200);
  std::memset(p, 1, 200);
  heap.free(p);
  auto* q = static_cast<char*>(heap.malloc_zeroed(200));
  EXPECT_EQ(q, p);
  for (int i = 0; i < 200; ++i) ASSERT_EQ(q[i], 0);
}

TEST(SegregatedLayer, NullSourceBoundsTheSizes) {
  SegregatedLayer<Classes, Bin, NullSource> heap;
  static_assert(ClearableHeap<decltype(heap)>);
  EXPECT_EQ(heap.malloc(1025), nullptr);
  EXPECT_NE(heap.malloc(1024), nullptr);
  heap.clear();
}

}  // namespace
}  // namespace heaplayers
