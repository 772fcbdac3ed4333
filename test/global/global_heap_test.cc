// Tests of what lies beside the size classes: large objects, scavenging, descriptors given up.
#include "src/global/global_heap.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstring>
#include <vector>

#include "test/global/test_heap.h"

namespace mesh {
namespace {

TEST(GlobalHeap, LargeObjectsAreCounted) {
  TestHeap heap;
  GlobalHeap& global = heap.global();
  void* one = global.AllocateLarge(100000, kPageSize, false);
  void* two = global.AllocateLarge(1, 4 * kMiB, true);
  ASSERT_NE(one, nullptr);
  ASSERT_NE(two, nullptr);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(two) % (4 * kMiB), 0u);
  EXPECT_EQ(global.large_count(), 2u);
  EXPECT_EQ(global.large_bytes(),
            RoundUp(100000, kPageSize) + LargeObject::kLeastPages * kPageSize);
  EXPECT_EQ(GlobalHeap::LargeSize(one), RoundUp(100000, kPageSize));
  global.FreeLarge(one);
  global.FreeLarge(two);
  EXPECT_EQ(global.large_count(), 0u);
  EXPECT_EQ(global.large_bytes(), 0u);
  heap.CheckInvariants();
}

TEST(GlobalHeap, LargeObjectsGrowAndShrinkWithTheirContents) {
  TestHeap heap;
  GlobalHeap& global = heap.global();
  size_t pages = 300;
  auto* object = static_cast<char*>(global.AllocateLarge(pages * kPageSize, kPageSize, false));
  // Something behind it, so that growing in place ends at some time.
  void* neighbour = global.AllocateLarge(20 * kPageSize, kPageSize, false);
  memset(object, 5, pages * kPageSize);
  for (size_t wanted : {312u, 340u, 3000u, 400u, 311u, 5000u}) {
    auto* resized = static_cast<char*>(global.ResizeLarge(object, wanted * kPageSize));
    ASSERT_NE(resized, nullptr) << wanted;
    object = resized;
    size_t kept = pages < wanted ? pages : wanted;
    for (size_t page = 0; page < kept; page++) ASSERT_EQ(object[page * kPageSize + 77], 5);
    // One that has moved to grow has room to grow on.
    pages = GlobalHeap::LargeSize(object) / kPageSize;
    EXPECT_GE(pages, wanted);
    EXPECT_LE(pages, wanted + wanted / GlobalHeap::kRoomShare);
    memset(object, 5, pages * kPageSize);
    EXPECT_EQ(global.large_bytes(), (pages + 20) * kPageSize);
    heap.CheckInvariants();
  }
  global.FreeLarge(object);
  global.FreeLarge(neighbour);
  EXPECT_EQ(global.large_bytes(), 0u);
  heap.CheckInvariants();
}

// Copying a short one is cheaper than moving its page tables.
TEST(GlobalHeap, ShortObjectsDoNotMove) {
  TestHeap heap;
  GlobalHeap& global = heap.global();
  void* object = global.AllocateLarge(10 * kPageSize, kPageSize, false);
  void* neighbour = global.AllocateLarge(20 * kPageSize, kPageSize, false);
  EXPECT_EQ(global.ResizeLarge(object, 11 * kPageSize), nullptr);
  EXPECT_EQ(GlobalHeap::LargeSize(object), 10 * kPageSize);
  EXPECT_EQ(global.ResizeLarge(object, 9 * kPageSize), object);
  global.FreeLarge(object);
  global.FreeLarge(neighbour);
}

// Counts of pages have 32 bits, bytes have more.
TEST(GlobalHeap, ObjectsOfMoreThanFourGiB) {
  constexpr size_t kSize = 5 * kGiB;
  TestHeap heap;
  auto* object = static_cast<char*>(heap.global().AllocateLarge(kSize, kPageSize, true));
  if (object == nullptr) GTEST_SKIP() << "the kernel does not promise so much memory here";
  EXPECT_EQ(GlobalHeap::LargeSize(object), kSize);
  EXPECT_EQ(heap.global().large_bytes(), kSize);
  object[kSize - 1] = 1;
  EXPECT_EQ(object[kSize - 1], 1);
  heap.global().FreeLarge(object);
  EXPECT_EQ(heap.global().large_bytes(), 0u);
}

TEST(GlobalHeap, WhatIsTooLargeIsNull) {
  TestHeap heap;
  EXPECT_EQ(heap.global().AllocateLarge(SIZE_MAX, kPageSize, false), nullptr);
  EXPECT_EQ(heap.global().AllocateLarge(size_t{1} << 50, kPageSize, false), nullptr);
  void* object = heap.global().AllocateLarge(100000, kPageSize, false);
  EXPECT_EQ(heap.global().ResizeLarge(object, SIZE_MAX), nullptr);
  EXPECT_EQ(GlobalHeap::LargeSize(object), RoundUp(100000, kPageSize));
  heap.global().FreeLarge(object);
}

TEST(GlobalHeapDeathTest, AnAddressInsideALargeObjectEndsTheProgram) {
  TestHeap heap;
  auto* object = static_cast<char*>(heap.global().AllocateLarge(100000, kPageSize, false));
  EXPECT_DEATH(heap.global().FreeLarge(object + 16), "middle of an object");
}

// Slots of whole pages are given back while other objects of the span live on.
TEST(GlobalHeap, ScavengeReturnsFreeSlotsAndRuns) {
  TestHeap heap;
  constexpr SizeClass kPages = ClassFor(4096);
  std::vector<SpanObjects> spans = heap.MakeFull(kPages, 8);
  size_t slots = spans[0].size();
  for (SpanObjects& span : spans) heap.Thin(span, [](size_t slot) { return slot == 0; });
  EXPECT_GE(heap.global().Scavenge(), 8 * (slots - 1) * kPageSize);
  heap.CheckAll();
  EXPECT_EQ(heap.global().arena().statistics().dirty_bytes, 0u);
}

// A daemon closes all descriptors, ours among them: what is meshed stays, and meshing goes on.
TEST(GlobalHeap, DescriptorsThatTheProgramWantsAreGivenUp) {
  for (BarrierTier tier : {BarrierTier::kSingleThread, BarrierTier::kUserfault}) {
    for (bool private_views : {false, true}) {
      TestHeap heap(tier, private_views);
      constexpr SizeClass kSmall = ClassFor(64);
      for (int round = 0; round < 3; round++) {
        std::vector<SpanObjects> spans = heap.MakeFull(kSmall, 8);
        for (size_t i = 0; i < spans.size(); i++) {
          heap.Thin(spans[i], [&](size_t slot) { return slot % 8 == i; });
        }
        heap.Compact();
        heap.RewriteAll();
        heap.CheckAll();
        heap.global().GiveUpDescriptors(0, ~0u);
        EXPECT_FALSE(heap.global().backing().OwnsDescriptorAmong(0, ~0u));
        EXPECT_FALSE(heap.global().barrier().OwnsDescriptorAmong(0, ~0u));
        heap.RewriteAll();
        heap.CheckAll();
      }
      heap.FreeAll();
      heap.CheckAll();
    }
  }
}

}  // namespace
}  // namespace mesh
