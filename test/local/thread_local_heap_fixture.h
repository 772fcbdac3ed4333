// ThreadLocalHeapTest: a global heap, thread heaps on it, and what tests of these do with them.
//
// Room: test. Thread rule: the test's thread, and those that it makes.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <memory>

#include "src/local/thread_registry.h"

namespace mesh {

inline constexpr SizeClass kClass = ClassFor(64);

class ThreadLocalHeapTest : public testing::Test {
 protected:
  ThreadLocalHeapTest() : global_(std::make_unique<GlobalHeap>()) {
    global_->arena().set_segment_size(64 * kMiB);
    global_->barrier().Init(BarrierTier::kAuto);
  }

  ThreadLocalHeap* Acquire() {
    return registry_.Acquire(global_.get(), seed_++, SlotOrder::kShuffled);
  }

  static void* Allocate(ThreadLocalHeap* heap, SizeClass size_class) {
    void* object = heap->Take(size_class);
    return object != nullptr ? object : heap->Refill(size_class);
  }
  static void Free(ThreadLocalHeap* heap, void* object, SizeClass size_class) {
    PageEntry entry = PageMap::Find(reinterpret_cast<uintptr_t>(object));
    ASSERT_EQ(entry.size_class(), size_class);
    if (!heap->Keep(object, entry)) heap->FreeSlow(object, entry);
  }
  uint64_t InUse(SizeClass size_class) {
    return global_->size_class_heap(size_class).statistics().in_use;
  }
  void CheckEmpty() {
    for (SizeClassHeap& heap : global_->size_class_heaps()) {
      heap.CheckInvariants();
      EXPECT_EQ(heap.statistics().spans, 0u) << "class " << int{heap.size_class()};
      EXPECT_EQ(heap.statistics().in_use, 0u) << "class " << int{heap.size_class()};
    }
  }

  std::unique_ptr<GlobalHeap> global_;
  ThreadRegistry registry_;
  uint64_t seed_ = 1;
};

}  // namespace mesh
