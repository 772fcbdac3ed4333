#include "heaplayers/align_layer.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <cstring>

#include "heaplayers/arithmetic.h"
#include "heaplayers/shared_source.h"
#include "test/heap_layers/recording_heap.h"

namespace heaplayers {
namespace {

using Plain = AlignLayer<RefSource<RecordingHeap>>;
using Full = AlignLayer<RefSource<FullRecordingHeap>>;
static_assert(AligningHeap<Plain> && !SizedHeap<Plain>);
static_assert(ResizingHeap<Full> && ZeroingHeap<Full> && !OwningHeap<Plain>);

TEST(AlignLayer, AlignsOverAHeapThatCannot) {
  RecordingHeap below;
  Plain heap(&below);
  for (std::size_t alignment = 1; alignment <= 1 << 20; alignment *= 2) {
    void* p = heap.memalign(alignment, 100);
    ASSERT_NE(p, nullptr);
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(p) % alignment, 0u);
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(p) % Plain::kAlignment, 0u);
    std::memset(p, 0xFF, 100);
    heap.free(p);
  }
  heap.free(heap.malloc(100));
  EXPECT_EQ(below.alive(), 0u);
}

TEST(AlignLayer, UsableSizeEndsWithTheBlock) {
  FullRecordingHeap below;
  Full heap(&below);
  void* p = heap.malloc(100);
  EXPECT_EQ(heap.usable_size(p), 100u);
  void* q = heap.memalign(4096, 100);
  EXPECT_GE(heap.usable_size(q), 100u);
  std::memset(q, 0xFF, heap.usable_size(q));
  heap.free(p);
  heap.free(q);
}

TEST(AlignLayer, ResizeKeepsContentAndWayBack) {
  FullRecordingHeap below;
  Full heap(&below);
  auto* p = static_cast<char*>(heap.memalign(256, 100));
  p[99] = 'x';
  p = static_cast<char*>(heap.try_resize(p, 100000));
  ASSERT_NE(p, nullptr);
  EXPECT_EQ(p[99], 'x');
  EXPECT_GE(heap.usable_size(p), 100000u);
  below.resizes_in_place = false;
  EXPECT_EQ(heap.try_resize(p, 200000), nullptr);
  heap.free(p);
  EXPECT_EQ(below.frees, 1u);
}

TEST(AlignLayer, RefusalAndOverflowGiveNull) {
  FullRecordingHeap below;
  Full heap(&below);
  EXPECT_EQ(heap.malloc(kImpossible), nullptr);
  EXPECT_EQ(heap.memalign(std::size_t{1} << 63, kImpossible / 2), nullptr);
  EXPECT_EQ(heap.memalign(std::size_t{1} << 63, 1), nullptr);
  EXPECT_EQ(heap.malloc_zeroed(kImpossible - 1), nullptr);
  auto* zeroed = static_cast<char*>(heap.malloc_zeroed(10));
  EXPECT_EQ(zeroed[9], 0);
  heap.free(zeroed);
}

}  // namespace
}  // namespace heaplayers
