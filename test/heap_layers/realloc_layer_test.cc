#include "heaplayers/realloc_layer.h"

#include <gtest/gtest.h>

#include <cstring>

#include "heaplayers/arithmetic.h"
#include "heaplayers/shared_source.h"
#include "heaplayers/size_header_layer.h"
#include "test/heap_layers/recording_heap.h"

namespace heaplayers {
namespace {

using Copying = ReallocLayer<KeepIfHalfUsed, SizeHeaderLayer<RefSource<RecordingHeap>>>;
using Resizing = ReallocLayer<KeepIfHalfUsed, RefSource<FullRecordingHeap>>;
static_assert(ReallocHeap<Copying> && ReallocHeap<Resizing>);

TEST(ReallocLayer, CopiesWhatFitsInBoth) {
  RecordingHeap below;
  Copying heap(&below);
  char* p = static_cast<char*>(heap.malloc(6));
  std::strcpy(p, "hello");
  p = static_cast<char*>(heap.realloc(p, 1000));
  EXPECT_STREQ(p, "hello");
  EXPECT_EQ(heap.usable_size(p), 1000u);
  p = static_cast<char*>(heap.realloc(p, 3));
  EXPECT_EQ(heap.usable_size(p), 3u);
  EXPECT_EQ(std::memcmp(p, "hel", 3), 0);
  heap.free(p);
  EXPECT_EQ(below.alive(), 0u);
}

TEST(ReallocLayer, StaysInPlaceWhileHalfIsUsed) {
  RecordingHeap below;
  Copying heap(&below);
  void* p = heap.malloc(100);
  EXPECT_EQ(heap.realloc(p, 50), p);
  EXPECT_EQ(heap.realloc(p, 100), p);
  EXPECT_EQ(below.mallocs, 1u);
  heap.free(heap.realloc(p, 49));
  EXPECT_EQ(below.mallocs, 2u);
}

TEST(ReallocLayer, FailedGrowthKeepsTheObjectAndShrinkingNeverFails) {
  RecordingHeap below;
  Copying heap(&below);
  char* p = static_cast<char*>(heap.malloc(100));
  p[99] = 'x';
  EXPECT_EQ(heap.realloc(p, kImpossible), nullptr);
  below.refuses = true;
  EXPECT_EQ(heap.realloc(p, 200), nullptr);
  EXPECT_EQ(p[99], 'x');
  EXPECT_EQ(heap.realloc(p, 1), p);
  heap.free(p);
}

TEST(ReallocLayer, PrefersResizingBelow) {
  FullRecordingHeap below;
  Resizing heap(&below);
  void* p = heap.realloc(heap.malloc(100), 5000);
  EXPECT_EQ(below.resizes, 1u);
  EXPECT_EQ(below.mallocs, 1u);
  below.resizes_in_place = false;
  p = heap.realloc(p, 20000);
  EXPECT_EQ(below.mallocs, 2u);
  heap.free(p);
}

}  // namespace
}  // namespace heaplayers
