#include "heaplayers/checked_layer.h"

#include <gtest/gtest.h>

#include <cstring>

#include "heaplayers/arithmetic.h"
#include "heaplayers/bump_source.h"
#include "heaplayers/freelist_layer.h"
#include "heaplayers/shared_source.h"
#include "test/heap_layers/recording_heap.h"

namespace heaplayers {
namespace {

struct CountReport {
  static inline int misuses = 0;
  static void Misuse(const char*, const void*) { ++misuses; }
};

using Below = FreelistLayer<BumpSource<4096>>;

TEST(CheckedLayer, CorrectUseIsSilent) {
  FullRecordingHeap below;
  CheckedLayer<CountReport, RefSource<FullRecordingHeap>> heap(&below);
  static_assert(SizedHeap<decltype(heap)> && !ResizingHeap<decltype(heap)>);
  CountReport::misuses = 0;
  for (std::size_t size : {0u, 1u, 100u}) {
    void* p = heap.malloc(size);
    std::memset(p, 0xFF, size);
    EXPECT_EQ(heap.usable_size(p), size);
    heap.free(p);
  }
  EXPECT_EQ(heap.malloc(kImpossible - 1), nullptr);
  EXPECT_EQ(CountReport::misuses, 0);
  EXPECT_EQ(below.frees, 3u);
}

TEST(CheckedLayer, SecondFreeIsNoticedAndStopped) {
  CheckedLayer<CountReport, Below> heap;
  CountReport::misuses = 0;
  void* a = heap.malloc(32);
  void* b = heap.malloc(32);
  heap.free(a);
  heap.free(b);
  heap.free(a);
  EXPECT_EQ(CountReport::misuses, 1);
  EXPECT_EQ(heap.malloc(32), b);  // the list is intact
  EXPECT_EQ(heap.malloc(32), a);
  EXPECT_NE(heap.malloc(32), a);
  heap.free(a);
  EXPECT_EQ(CountReport::misuses, 1);
}

TEST(CheckedLayer, ForeignPointerIsNoticed) {
  CheckedLayer<CountReport, Below> heap;
  CountReport::misuses = 0;
  auto* p = static_cast<char*>(heap.malloc(64));
  heap.free(p + 16);
  EXPECT_EQ(CountReport::misuses, 1);
}

TEST(CheckedLayerDeathTest, AbortReportSaysWhy) {
  CheckedLayer<AbortReport, Below> heap;
  void* p = heap.malloc(8);
  heap.free(p);
  EXPECT_DEATH(heap.free(p), "object freed twice");
}

}  // namespace
}  // namespace heaplayers
