#include "heaplayers/size_header_layer.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <cstring>

#include "heaplayers/arithmetic.h"
#include "heaplayers/page_source.h"
#include "heaplayers/shared_source.h"
#include "test/heap_layers/recording_heap.h"

namespace heaplayers {
namespace {

using Headed = SizeHeaderLayer<RefSource<RecordingHeap>>;
static_assert(SizedHeap<Headed> && !ResizingHeap<Headed>);
static_assert(ResizingHeap<SizeHeaderLayer<MmapSource>>);

TEST(SizeHeaderLayer, RemembersTheSizeAskedFor) {
  RecordingHeap below;
  Headed heap(&below);
  for (std::size_t size : {0u, 1u, 24u, 5000u}) {
    void* p = heap.malloc(size);
    ASSERT_NE(p, nullptr);
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(p) % Headed::kAlignment, 0u);
    std::memset(p, 0xFF, size);
    EXPECT_EQ(heap.usable_size(p), size);
    heap.free(p);
  }
  EXPECT_EQ(below.alive(), 0u);
}

TEST(SizeHeaderLayer, RefusalAndOverflowGiveNull) {
  RecordingHeap below;
  Headed heap(&below);
  EXPECT_EQ(heap.malloc(kImpossible), nullptr);
  EXPECT_EQ(heap.malloc(kImpossible - 4), nullptr);
  below.refuses = true;
  EXPECT_EQ(heap.malloc(1), nullptr);
}

TEST(SizeHeaderLayer, ResizeAndZeroedKeepTheHeader) {
  SizeHeaderLayer<MmapSource> heap;
  auto* p = static_cast<char*>(heap.malloc_zeroed(9000));
  EXPECT_EQ(p[8999], 0);
  EXPECT_EQ(heap.usable_size(p), 9000u);
  p[8999] = 'x';
  EXPECT_EQ(heap.try_resize(p, kImpossible), nullptr);
  EXPECT_EQ(heap.usable_size(p), 9000u);
  p = static_cast<char*>(heap.try_resize(p, 900000));
  ASSERT_NE(p, nullptr);
  EXPECT_EQ(p[8999], 'x');
  EXPECT_EQ(heap.usable_size(p), 900000u);
  heap.free(p);
}

}  // namespace
}  // namespace heaplayers
