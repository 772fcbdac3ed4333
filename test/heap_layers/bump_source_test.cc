#include "heaplayers/bump_source.h"

#include <gtest/gtest.h>

#include <cstdint>

#include "heaplayers/contract.h"

namespace heaplayers {
namespace {

static_assert(OwningHeap<BumpSource<64>> && ClearableHeap<BumpSource<64>>);

constinit BumpSource<100> g_heap;  // a heap in static storage needs no constructor call

TEST(BumpSource, HandsOutTheBufferOnce) {
  void* a = g_heap.malloc(1);
  void* b = g_heap.malloc(40);
  ASSERT_NE(a, nullptr);
  EXPECT_EQ(static_cast<char*>(b) - static_cast<char*>(a), 16);
  EXPECT_NE(g_heap.malloc(0), nullptr);
  EXPECT_EQ(g_heap.malloc(40), nullptr);
  EXPECT_NE(g_heap.malloc(16), nullptr);
  EXPECT_EQ(g_heap.malloc(0), nullptr);
  g_heap.clear();
  EXPECT_EQ(g_heap.malloc(96), a);
}

TEST(BumpSource, OwnsItsBufferOnly) {
  BumpSource<64> heap;
  int elsewhere = 0;
  auto* p = static_cast<char*>(heap.malloc(64));
  EXPECT_TRUE(heap.owns(p));
  EXPECT_TRUE(heap.owns(p + 63));
  EXPECT_FALSE(heap.owns(p + 64));
  EXPECT_FALSE(heap.owns(&elsewhere));
  EXPECT_FALSE(heap.owns(nullptr));
}

TEST(BumpSource, RefusesTheImpossible) {
  BumpSource<64> heap;
  EXPECT_EQ(heap.malloc(SIZE_MAX), nullptr);
  EXPECT_EQ(heap.malloc(SIZE_MAX - 8), nullptr);
  EXPECT_NE(heap.malloc(64), nullptr);
}

}  // namespace
}  // namespace heaplayers
