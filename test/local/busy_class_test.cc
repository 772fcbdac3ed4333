// Tests of what threads do while a batch of compaction has a class.
#include <gtest/gtest.h>

#include <atomic>
#include <cstring>
#include <thread>
#include <vector>

#include "test/local/thread_local_heap_fixture.h"

namespace mesh {
namespace {

// A batch of compaction has a class: its lock is held, and has a meter.
class BusyClassTest : public ThreadLocalHeapTest {
 protected:
  template <typename During>
  void WhileBusy(SizeClass size_class, During during) NO_THREAD_SAFETY_ANALYSIS {
    Mutex& lock = global_->size_class_heap(size_class).lock();
    lock.Lock();
    lock.set_meter(&meter_);
    during();
    lock.set_meter(nullptr);
    lock.Unlock();
  }
  static const SizeClassInfo& InfoOf(void* object) {
    return kSizeClasses[PageMap::Find(reinterpret_cast<uintptr_t>(object)).size_class()];
  }

  WaitMeter meter_{[]() -> uint64_t { return 0; }};
};

TEST_F(BusyClassTest, WhoAllocatesGetsASlotOfALargerClass) {
  ThreadLocalHeap* heap = Acquire();
  // From the largest down: the thread has no slots of its own of any.
  for (SizeClass c = ClassFor(448); c > 0; c--) {
    const SizeClassInfo& info = kSizeClasses[c];
    std::vector<void*> objects;
    // Slots that held something, in the class that is going to lend them.
    WhileBusy(c, [&] {
      for (int i = 0; i < 40; i++) objects.push_back(Allocate(heap, c));
    });
    for (void* object : objects) {
      const SizeClassInfo& lender = InfoOf(object);
      EXPECT_GT(lender.size, info.size);
      EXPECT_LE(lender.size, 2 * info.size);
      EXPECT_EQ(lender.size % (info.size & -info.size), 0u) << lender.size << ", not " << info.size;
      EXPECT_EQ(lender.meshable, info.meshable);
      memset(object, 0xab, lender.size);
      Free(heap, object, PageMap::Find(reinterpret_cast<uintptr_t>(object)).size_class());
    }
    // Who clears an object clears a slot of the class that it has asked for.
    WhileBusy(c, [&] {
      auto* object = static_cast<char*>(Allocate(heap, c));
      const std::vector<char> tail(object + info.size, object + InfoOf(object).size);
      EXPECT_EQ(tail, std::vector<char>(tail.size(), 0));
      Free(heap, object, PageMap::Find(reinterpret_cast<uintptr_t>(object)).size_class());
    });
  }
  registry_.Retire(heap);
  CheckEmpty();
}

TEST_F(BusyClassTest, WhatIsFreedMeanwhileIsFreedAfterwards) {
  ThreadLocalHeap* heap = Acquire();
  std::vector<void*> objects;
  for (int i = 0; i < 1000; i++) objects.push_back(Allocate(heap, kClass));
  SizeClassHeap& global = global_->size_class_heap(kClass);
  const uint64_t before = InUse(kClass);
  WhileBusy(kClass, [&] {
    for (void* object : objects) Free(heap, object, kClass);
    EXPECT_GE(global.pending().size(), 800u);
  });
  EXPECT_LT(InUse(kClass), before - 800);
  EXPECT_EQ(global.pending().size(), 0u);
  registry_.Retire(heap);
  CheckEmpty();
}

TEST_F(BusyClassTest, WhatIsFreedTwiceMeanwhileIsFound) {
  ThreadLocalHeap* heap = Acquire();
  std::vector<void*> objects;
  for (int i = 0; i < 1000; i++) objects.push_back(Allocate(heap, kClass));
  WhileBusy(kClass, [&] {
    for (void* object : objects) Free(heap, object, kClass);
  });
  EXPECT_DEATH(Free(heap, objects[0], kClass), "double free");
}

TEST_F(BusyClassTest, AThreadWaitsWhenNoMoreMayBePending) {
  ThreadLocalHeap* heap = Acquire();
  std::vector<void*> objects;
  for (uint32_t i = 0; i < 2 * PendingFrees::kMost; i++) objects.push_back(Allocate(heap, kClass));
  std::atomic<bool> is_over = false;
  std::thread worker;
  WhileBusy(kClass, [&] {
    worker = std::thread([&] {
      for (void* object : objects) Free(heap, object, kClass);
      is_over = true;
    });
    while (global_->size_class_heap(kClass).pending().size() <= PendingFrees::kMost - 64) {
      std::this_thread::yield();
    }
    EXPECT_FALSE(is_over);
  });
  worker.join();
  registry_.Retire(heap);
  CheckEmpty();
}

}  // namespace
}  // namespace mesh
