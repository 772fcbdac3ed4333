#include "heaplayers/ansi_layer.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <cstdint>

#include "heaplayers/errno_layer.h"
#include "heaplayers/realloc_layer.h"
#include "heaplayers/shared_source.h"
#include "heaplayers/zeroing_layer.h"
#include "test/heap_layers/recording_heap.h"

namespace heaplayers {
namespace {

using Stack =
    AnsiLayer<ErrnoLayer<ReallocLayer<KeepIfHalfUsed, ZeroingLayer<RefSource<FullRecordingHeap>>>>>;

class AnsiLayerTest : public testing::Test {
 protected:
  FullRecordingHeap below_;
  Stack heap_{&below_};
};

TEST_F(AnsiLayerTest, NullPointers) {
  heap_.free(nullptr);
  EXPECT_EQ(below_.frees, 0u);
  EXPECT_EQ(heap_.malloc_usable_size(nullptr), 0u);
  void* p = heap_.realloc(nullptr, 10);
  ASSERT_NE(p, nullptr);
  EXPECT_EQ(heap_.malloc_usable_size(p), 10u);
  heap_.free(p);
}

TEST_F(AnsiLayerTest, ReallocToZeroFrees) {
  errno = 0;
  EXPECT_EQ(heap_.realloc(heap_.malloc(10), 0), nullptr);
  EXPECT_EQ(heap_.reallocarray(heap_.malloc(10), 5, 0), nullptr);
  EXPECT_EQ(heap_.reallocf(heap_.malloc(10), 0), nullptr);
  EXPECT_EQ(below_.frees, 3u);
  EXPECT_EQ(errno, 0);
}

TEST_F(AnsiLayerTest, OverflowKeepsTheObject) {
  auto* p = static_cast<char*>(heap_.malloc(10));
  p[9] = 'x';
  errno = 0;
  EXPECT_EQ(heap_.reallocarray(p, SIZE_MAX / 2, 3), nullptr);
  EXPECT_EQ(errno, ENOMEM);
  EXPECT_EQ(p[9], 'x');
  p = static_cast<char*>(heap_.reallocarray(p, 10, 10));
  EXPECT_EQ(p[9], 'x');
  heap_.free(p);
}

TEST_F(AnsiLayerTest, ReallocfFreesOnFailure) {
  void* p = heap_.malloc(10);
  EXPECT_EQ(heap_.reallocf(p, SIZE_MAX), nullptr);
  EXPECT_EQ(below_.frees, 1u);
  EXPECT_EQ(heap_.reallocf(nullptr, SIZE_MAX), nullptr);
}

}  // namespace
}  // namespace heaplayers
