#include "heaplayers/bump_layer.h"

#include <gtest/gtest.h>

#include <cstring>

#include "heaplayers/arithmetic.h"
#include "heaplayers/shared_source.h"
#include "test/heap_layers/recording_heap.h"

namespace heaplayers {
namespace {

using Bumping = BumpLayer<1024, RefSource<RecordingHeap>>;
static_assert(ClearableHeap<Bumping> && !SizedHeap<Bumping> && !AligningHeap<Bumping>);

TEST(BumpLayer, CarvesObjectsOutOfChunks) {
  RecordingHeap below;
  Bumping heap(&below);
  char* previous = nullptr;
  for (int i = 0; i < 63; ++i) {  // the chunk's head takes the place of one
    auto* p = static_cast<char*>(heap.malloc(16));
    if (previous != nullptr) {
      EXPECT_EQ(p - previous, 16);
    }
    std::memset(p, i, 16);
    previous = p;
  }
  EXPECT_EQ(below.mallocs, 1u);
  heap.malloc(1);
  EXPECT_EQ(below.mallocs, 2u);
  heap.clear();
  EXPECT_EQ(below.alive(), 0u);
  heap.malloc(1);  // nothing of the chunks that went back is handed out
  EXPECT_EQ(below.alive(), 1u);
  heap.clear();
}

TEST(BumpLayer, MakesAChunkOfItsOwnForALargeObject) {
  RecordingHeap below;
  Bumping heap(&below);
  std::memset(heap.malloc(5000), 1, 5000);
  EXPECT_GE(below.last_size, 5000u);
  heap.clear();
  EXPECT_EQ(below.alive(), 0u);
}

TEST(BumpLayer, PassesRefusalOnAndStaysUsable) {
  RecordingHeap below;
  Bumping heap(&below);
  EXPECT_EQ(heap.malloc(kImpossible), nullptr);
  below.refuses = true;
  EXPECT_EQ(heap.malloc(16), nullptr);
  below.refuses = false;
  EXPECT_NE(heap.malloc(16), nullptr);
  heap.clear();
}

}  // namespace
}  // namespace heaplayers
