#include "heaplayers/errno_layer.h"

#include <gtest/gtest.h>

#include <cerrno>

#include "heaplayers/arithmetic.h"
#include "heaplayers/realloc_layer.h"
#include "heaplayers/shared_source.h"
#include "heaplayers/zeroing_layer.h"
#include "test/heap_layers/recording_heap.h"

namespace heaplayers {
namespace {

using Below = ReallocLayer<KeepIfHalfUsed, ZeroingLayer<RefSource<FullRecordingHeap>>>;
static_assert(!CallocHeap<ErrnoLayer<RefSource<RecordingHeap>>>, "adds no operation");

TEST(ErrnoLayer, NullMeansEnomem) {
  FullRecordingHeap below;
  ErrnoLayer<Below> heap(&below);
  void* p = heap.malloc(1);
  below.refuses = true;
  auto sets_enomem = [](void* result) {
    const bool sets = result == nullptr && errno == ENOMEM;
    errno = 0;
    return sets;
  };
  errno = 0;
  EXPECT_TRUE(sets_enomem(heap.malloc(1)));
  EXPECT_TRUE(sets_enomem(heap.malloc_zeroed(1)));
  EXPECT_TRUE(sets_enomem(heap.memalign(64, 1)));
  EXPECT_TRUE(sets_enomem(heap.calloc(kImpossible, 2)));
  EXPECT_TRUE(sets_enomem(heap.realloc(p, 100)));
  heap.free(p);
}

TEST(ErrnoLayer, SuccessLeavesErrnoAlone) {
  FullRecordingHeap below;
  ErrnoLayer<Below> heap(&below);
  errno = EDOM;
  heap.free(heap.realloc(heap.calloc(1, 1), 100));
  heap.free(heap.memalign(64, 1));
  EXPECT_EQ(errno, EDOM);
}

}  // namespace
}  // namespace heaplayers
