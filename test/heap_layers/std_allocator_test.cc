#include "heaplayers/std_allocator.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <functional>
#include <map>
#include <utility>
#include <vector>

#include "heaplayers/page_source.h"
#include "heaplayers/shared_source.h"
#include "test/heap_layers/recording_heap.h"

namespace heaplayers {
namespace {

TEST(StdAllocator, ContainersLiveInTheHeap) {
  FullRecordingHeap heap;
  using Pair = std::pair<const int, int>;
  {
    std::vector<int, StdAllocator<int, FullRecordingHeap>> numbers(
        (StdAllocator<int, FullRecordingHeap>(&heap)));
    std::map<int, int, std::less<>, StdAllocator<Pair, FullRecordingHeap>> squares(
        numbers.get_allocator());
    for (int i = 0; i < 100; ++i) {
      numbers.push_back(i);
      squares[i] = i * i;
    }
    EXPECT_EQ(numbers[99], 99);
    EXPECT_EQ(squares[99], 99 * 99);
    EXPECT_GT(heap.alive(), 100u);
  }
  EXPECT_EQ(heap.alive(), 0u);
}

TEST(StdAllocator, AlignsWhatTheTypeAsks) {
  struct alignas(256) Wide {
    char c;
  };
  MmapSource heap;
  StdAllocator<Wide, MmapSource> allocator(&heap);
  Wide* wide = allocator.allocate(3);
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(wide) % 256, 0u);
  allocator.deallocate(wide, 3);
}

TEST(StdAllocator, EqualWhenTheHeapIs) {
  MmapSource one, two;
  StdAllocator<int, MmapSource> a(&one);
  StdAllocator<char, MmapSource> b(a);
  StdAllocator<char, MmapSource> c(&two);
  EXPECT_TRUE(a == b);
  EXPECT_FALSE(b == c);
}

TEST(StdAllocatorDeathTest, NoMemoryEndsTheProcess) {
  MmapSource heap;
  StdAllocator<int, MmapSource> allocator(&heap);
  EXPECT_DEATH(allocator.allocate(SIZE_MAX / 2), "");
}

}  // namespace
}  // namespace heaplayers
