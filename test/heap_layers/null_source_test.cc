#include "heaplayers/null_source.h"

#include <gtest/gtest.h>

#include "heaplayers/contract.h"

namespace heaplayers {
namespace {

static_assert(OwningHeap<NullSource> && ZeroingHeap<NullSource> && AligningHeap<NullSource>);

TEST(NullSource, RefusesEverything) {
  NullSource heap;
  EXPECT_EQ(heap.malloc(0), nullptr);
  EXPECT_EQ(heap.malloc_zeroed(1), nullptr);
  EXPECT_EQ(heap.memalign(64, 1), nullptr);
  EXPECT_FALSE(heap.owns(&heap));
}

}  // namespace
}  // namespace heaplayers
