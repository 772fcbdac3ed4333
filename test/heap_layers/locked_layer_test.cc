#include "heaplayers/locked_layer.h"

#include <gtest/gtest.h>

#include <thread>
#include <vector>

#include "heaplayers/freelist_layer.h"
#include "heaplayers/shared_source.h"
#include "heaplayers/spin_lock.h"
#include "test/heap_layers/recording_heap.h"

namespace heaplayers {
namespace {

struct WatchedLock {
  static inline int held = 0;
  static inline int rounds = 0;
  void lock() { ++held, ++rounds; }
  void unlock() { --held; }
};

// Knows whether it is called under the lock.
struct WatchingHeap : FullRecordingHeap {
  void* malloc(std::size_t size) {
    EXPECT_EQ(WatchedLock::held, 1);
    return FullRecordingHeap::malloc(size);
  }
};

TEST(LockedLayer, HoldsTheLockAroundEachOperation) {
  WatchingHeap below;
  LockedLayer<WatchedLock, RefSource<WatchingHeap>> heap(&below);
  static_assert(ResizingHeap<decltype(heap)> && AligningHeap<decltype(heap)>);
  static_assert(ZeroingHeap<decltype(heap)> && OwningHeap<decltype(heap)>);
  void* p = heap.malloc(10);
  p = heap.try_resize(p, heap.usable_size(p) + 10);
  EXPECT_TRUE(heap.owns(p));
  heap.free(p);
  heap.free(heap.memalign(64, 1));
  heap.free(heap.malloc_zeroed(1));
  heap.clear();
  EXPECT_EQ(WatchedLock::held, 0);
  EXPECT_EQ(WatchedLock::rounds, 10);
}

TEST(LockedLayer, ManyThreadsShareAHeap) {
  RecordingHeap below;
  LockedLayer<SpinLock, FreelistLayer<RefSource<RecordingHeap>>> heap(&below);
  constexpr int kThreads = 4;
  auto work = [&](int id) {
    for (int round = 0; round < 5000; ++round) {
      int* p = static_cast<int*>(heap.malloc(sizeof(int)));
      *p = id;
      int* q = static_cast<int*>(heap.malloc(sizeof(int)));
      *q = -id;
      ASSERT_EQ(*p, id);
      heap.free(p);
      ASSERT_EQ(*q, -id);
      heap.free(q);
    }
  };
  std::vector<std::thread> threads;
  for (int id = 1; id <= kThreads; ++id) threads.emplace_back(work, id);
  for (std::thread& thread : threads) thread.join();
  EXPECT_LE(below.mallocs, 2u * kThreads);
  while (below.alive() > 0) below.free(heap.malloc(sizeof(int)));
}

}  // namespace
}  // namespace heaplayers
