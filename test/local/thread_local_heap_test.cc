// Tests of thread heaps and their registry: slots in flight, objects freed elsewhere, what comes
// back when a thread ends, and after a fork.
#include "src/local/thread_local_heap.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cerrno>
#include <set>
#include <thread>
#include <vector>

#include "test/local/thread_local_heap_fixture.h"
#include "test/os/fault_injector.h"

namespace mesh {
namespace {

using os::Call;
using os::FaultInjector;

TEST_F(ThreadLocalHeapTest, ObjectsAreDistinctAndComeBack) {
  ThreadLocalHeap* heap = Acquire();
  for (SizeClass c = 1; c < kClassCount; c++) {
    std::set<void*> objects;
    for (int i = 0; i < 500; i++) {
      void* object = Allocate(heap, c);
      ASSERT_NE(object, nullptr);
      ASSERT_TRUE(objects.insert(object).second);
    }
    for (void* object : objects) Free(heap, object, c);
  }
  registry_.Retire(heap);
  CheckEmpty();
}

TEST_F(ThreadLocalHeapTest, SlotsHeldCountAsInUse) {
  ThreadLocalHeap* heap = Acquire();
  std::vector<void*> objects;
  for (int i = 0; i < 100; i++) objects.push_back(Allocate(heap, kClass));
  EXPECT_EQ(InUse(kClass) * 64, 100 * 64 + heap->cached_bytes());
  for (void* object : objects) Free(heap, object, kClass);
  EXPECT_EQ(InUse(kClass) * 64, heap->cached_bytes());
  EXPECT_EQ(registry_.cached_bytes(), heap->cached_bytes());
  heap->Flush(ThreadLocalHeap::Flushing::kAll);
  EXPECT_EQ(heap->cached_bytes(), 0u);
  CheckEmpty();
}

TEST_F(ThreadLocalHeapTest, AHeapHoldsABoundedNumberOfSlots) {
  ThreadLocalHeap* heap = Acquire();
  for (SizeClass c = 1; c < kClassCount; c++) {
    std::vector<void*> objects;
    for (int i = 0; i < 1000; i++) objects.push_back(Allocate(heap, c));
    for (void* object : objects) Free(heap, object, c);
    EXPECT_LE(InUse(c), 128u);
    EXPECT_LE(InUse(c) * kSizeClasses[c].size, 64 * kKiB);
  }
}

TEST_F(ThreadLocalHeapTest, AnotherHeapMayFree) {
  ThreadLocalHeap* one = Acquire();
  ThreadLocalHeap* two = Acquire();
  EXPECT_NE(one->id(), two->id());
  EXPECT_EQ(registry_.thread_count(), 2u);
  std::vector<void*> objects;
  for (int i = 0; i < 3000; i++) objects.push_back(Allocate(one, kClass));
  for (void* object : objects) Free(two, object, kClass);
  registry_.Retire(one);
  registry_.Retire(two);
  EXPECT_EQ(registry_.thread_count(), 0u);
  CheckEmpty();
}

TEST_F(ThreadLocalHeapTest, HeapsServeThreadAfterThread) {
  std::set<ThreadLocalHeap*> heaps;
  for (int i = 0; i < 100; i++) {
    ThreadLocalHeap* heap = Acquire();
    heaps.insert(heap);
    Free(heap, Allocate(heap, kClass), kClass);
    registry_.Retire(heap);
  }
  EXPECT_EQ(heaps.size(), 1u);
  CheckEmpty();
}

TEST_F(ThreadLocalHeapTest, OutOfMemoryIsNullAndPasses) {
  ThreadLocalHeap* heap = Acquire();
  FaultInjector injector;
  injector.Refuse(Call::kReserve, ENOMEM, 1, FaultInjector::kForever);
  EXPECT_EQ(Allocate(heap, kClass), nullptr);
  EXPECT_EQ(global_->AllocateDirect(kClass), nullptr);
  injector.Reset();
  void* object = Allocate(heap, kClass);
  EXPECT_NE(object, nullptr);
  Free(heap, object, kClass);
  registry_.Retire(heap);
  CheckEmpty();
}

TEST_F(ThreadLocalHeapTest, NoMemoryForAHeapIsNoHeap) {
  FaultInjector injector;
  injector.Refuse(Call::kMapAnonymous, ENOMEM, 1, FaultInjector::kForever);
  std::vector<ThreadLocalHeap*> heaps;
  // What is left of the last chunk of metadata may hold a few.
  for (int i = 0; i < 100; i++) {
    ThreadLocalHeap* heap = Acquire();
    if (heap == nullptr) break;
    heaps.push_back(heap);
  }
  EXPECT_LT(heaps.size(), 100u);
  injector.Reset();
  EXPECT_NE(Acquire(), nullptr);
}

TEST_F(ThreadLocalHeapTest, DirectObjectsNeedNoHeap) {
  std::set<void*> objects;
  for (int i = 0; i < 300; i++) {
    void* object = global_->AllocateDirect(kClass);
    ASSERT_NE(object, nullptr);
    ASSERT_TRUE(objects.insert(object).second);
  }
  EXPECT_EQ(global_->size_class_heap(kClass).statistics().attached, 0u);
  for (void* object : objects) global_->FreeDirect(object, kClass);
  CheckEmpty();
}

class DrainTest : public ThreadLocalHeapTest {
 protected:
  // Fills many spans, then frees two objects for each that it allocates, until `left` of the first
  // are left, and gives up those as well. Returns what it allocated meanwhile.
  std::vector<void*> Shrink(ThreadLocalHeap* heap, size_t left) {
    for (int i = 0; i < kObjects; i++) old_.push_back(Allocate(heap, kClass));
    std::vector<void*> young;
    Random random(1);
    auto free_one = [&] {
      std::swap(old_[random.Below(static_cast<uint32_t>(old_.size()))], old_.back());
      Free(heap, old_.back(), kClass);
      old_.pop_back();
    };
    while (old_.size() > left + 1) {
      free_one();
      free_one();
      young.push_back(Allocate(heap, kClass));
    }
    return young;
  }
  void FreeAll(ThreadLocalHeap* heap, std::vector<void*>* objects) {
    for (void* object : *objects) Free(heap, object, kClass);
    objects->clear();
  }

  static constexpr int kObjects = 100'000;
  std::vector<void*> old_;
};

// Half as many objects as before, all of them new: they do not lie at random places of all spans,
// which no compaction could help. A few do, from before the class was seen to shrink.
TEST_F(DrainTest, SpansEmptyWhereAProgramFreesMoreThanItAllocates) {
  ThreadLocalHeap* heap = Acquire();
  std::vector<void*> young = Shrink(heap, 0);
  FreeAll(heap, &old_);
  std::set<void*> distinct(young.begin(), young.end());
  EXPECT_EQ(distinct.size(), young.size());
  global_->Compact();
  const SizeClassStatistics statistics = global_->size_class_heap(kClass).statistics();
  EXPECT_GE(statistics.in_use, young.size());
  EXPECT_LT(static_cast<double>(statistics.slots), 1.25 * static_cast<double>(young.size()));
  global_->size_class_heap(kClass).CheckInvariants();
  FreeAll(heap, &young);
  registry_.Retire(heap);
  CheckEmpty();
}

TEST_F(DrainTest, ADoubleFreeIsFoundAmongWhatWaits) {
  ThreadLocalHeap* heap = Acquire();
  Shrink(heap, kObjects / 2);
  void* object = old_.back();
  Free(heap, object, kClass);
  EXPECT_DEATH(Free(heap, object, kClass), "double free");
}

TEST_F(DrainTest, WhatWaitsIsHandedOutWhenNothingElseIsLeft) {
  ThreadLocalHeap* heap = Acquire();
  std::vector<void*> young = Shrink(heap, kObjects / 2);
  FaultInjector injector;
  injector.Refuse(Call::kProtect, ENOMEM, 1, FaultInjector::kForever);
  injector.Refuse(Call::kReserve, ENOMEM, 1, FaultInjector::kForever);
  while (void* object = Allocate(heap, kClass)) young.push_back(object);
  for (int i = 0; i < 200; i++) {
    Free(heap, young.back(), kClass);
    young.back() = Allocate(heap, kClass);
    ASSERT_NE(young.back(), nullptr) << i;
  }
  FreeAll(heap, &young);
  FreeAll(heap, &old_);
  registry_.Retire(heap);
  CheckEmpty();
}

// A hook of the program may have freed some between the look that found none and the refill.
TEST_F(ThreadLocalHeapTest, ARefillLosesNothing) {
  ThreadLocalHeap* heap = Acquire();
  void* object = Allocate(heap, kClass);
  while (heap->Take(kClass) != nullptr) {
  }
  const uint64_t in_use = InUse(kClass);
  Free(heap, object, kClass);
  EXPECT_EQ(heap->Refill(kClass), object);
  EXPECT_EQ(InUse(kClass), in_use);
}

TEST_F(DrainTest, AChildReclaimsWhatWaits) {
  ThreadLocalHeap* mine = Acquire();
  ThreadLocalHeap* other = Acquire();
  std::vector<void*> young = Shrink(other, kObjects / 2);
  Free(other, old_.back(), kClass);
  old_.pop_back();
  EXPECT_EQ(InUse(kClass) * 64, (old_.size() + young.size()) * 64 + other->cached_bytes());
  registry_.ReclaimAfterFork(mine);
  EXPECT_EQ(InUse(kClass), old_.size() + young.size());
  EXPECT_EQ(Acquire(), other);
  FreeAll(other, &old_);
  FreeAll(other, &young);
  registry_.Retire(mine);
  registry_.Retire(other);
  CheckEmpty();
}

// The child of a fork finds the heaps of threads that it does not have.
TEST_F(ThreadLocalHeapTest, AChildReclaimsWhatOthersHeld) {
  ThreadLocalHeap* mine = Acquire();
  ThreadLocalHeap* other = Acquire();
  void* kept = Allocate(other, kClass);
  for (int i = 0; i < 50; i++) Free(other, Allocate(other, kClass), kClass);
  Free(mine, Allocate(mine, kClass), kClass);
  size_t own = mine->cached_bytes();
  registry_.ReclaimAfterFork(mine);
  EXPECT_EQ(registry_.thread_count(), 1u);
  EXPECT_EQ(registry_.cached_bytes(), own);
  EXPECT_EQ(InUse(kClass) * 64, own + 64);
  EXPECT_EQ(Acquire(), other);
  Free(mine, kept, kClass);
  registry_.Retire(mine);
  registry_.Retire(other);
  CheckEmpty();
}

// The heap of a thread that waits is emptied by who finds it in the same rest twice; the owner has
// it back at once, empty or not.
TEST_F(ThreadLocalHeapTest, WhoRestsIsEmptied) {
  ThreadLocalHeap* heap = Acquire();
  Free(heap, Allocate(heap, kClass), kClass);
  const size_t kept = heap->cached_bytes();
  EXPECT_GT(kept, 0u);
  EXPECT_EQ(registry_.EmptyResting(true), 0u);  // awake

  ASSERT_TRUE(heap->rest().Begin(heap->rest().Number()));
  EXPECT_EQ(registry_.EmptyResting(false), 0u);
  heap->rest().End();
  ASSERT_TRUE(heap->rest().Begin(heap->rest().Number()));
  EXPECT_EQ(registry_.EmptyResting(false), 0u);         // another rest
  EXPECT_EQ(registry_.EmptyResting(false), kept - 64);  // a slot stays: [SV4]
  EXPECT_EQ(registry_.EmptyResting(false), 0u);
  EXPECT_EQ(registry_.EmptyResting(true), 0u);
  EXPECT_EQ(InUse(kClass), 1u);
  heap->rest().End();

  void* objects[] = {Allocate(heap, kClass), Allocate(heap, kClass)};
  for (void* object : objects) Free(heap, object, kClass);
  ASSERT_TRUE(heap->rest().Begin(heap->rest().Number()));
  EXPECT_GT(registry_.EmptyResting(true), 0u);
  heap->rest().End();
  registry_.Retire(heap);
  CheckEmpty();
}

// [SV4]: a signal handler in which the thread rests has come in the middle of a call. What that
// has looked at stays as it is.
TEST_F(ThreadLocalHeapTest, OfAThreadThatRestsInsideACallTheNextSlotsStay) {
  ThreadLocalHeap* heap = Acquire();
  std::vector<void*> objects;
  for (int i = 0; i < 1000; i++) objects.push_back(Allocate(heap, kClass));
  for (void* object : objects) Free(heap, object, kClass);
  ASSERT_TRUE(heap->rest().Begin(heap->rest().Number()));
  EXPECT_TRUE(heap->has_below_tops());
  EXPECT_GT(registry_.EmptyResting(true), 0u);
  EXPECT_FALSE(heap->has_below_tops());
  heap->rest().End();
  EXPECT_EQ(heap->cached_bytes(), 64u);
  EXPECT_EQ(InUse(kClass), 1u);
  void* object = heap->Take(kClass);
  EXPECT_EQ(object, objects.back());
  EXPECT_EQ(heap->Take(kClass), nullptr);
  // Others come and go above the gap, which closes when there is no room, or nothing is left.
  objects.assign(1, object);
  for (int i = 0; i < 1000; i++) objects.push_back(Allocate(heap, kClass));
  EXPECT_EQ(std::set<void*>(objects.begin(), objects.end()).size(), objects.size());
  for (void* each : objects) Free(heap, each, kClass);
  ASSERT_TRUE(heap->rest().Begin(heap->rest().Number()));
  registry_.EmptyResting(true);
  heap->rest().End();
  ThreadLocalHeap* other = Acquire();
  for (void*& each : objects) each = Allocate(other, kClass);
  for (void* each : objects) Free(heap, each, kClass);
  registry_.Retire(heap);
  registry_.Retire(other);
  CheckEmpty();
}

TEST_F(ThreadLocalHeapTest, ARestThatWasCalledOffDoesNotBegin) {
  ThreadLocalHeap* heap = Acquire();
  const uint32_t number = heap->rest().Number();
  // A signal handler between the two.
  heap->rest().End();
  EXPECT_FALSE(heap->rest().Begin(number));
  EXPECT_EQ(heap->rest().CurrentRest(), 0u);
  EXPECT_TRUE(heap->rest().Begin(heap->rest().Number()));
  EXPECT_NE(heap->rest().CurrentRest(), 0u);
  registry_.Retire(heap);
}

// Owners that wake while their heap is taken wait for it; objects stay what they are.
TEST_F(ThreadLocalHeapTest, OwnersWakeWhileTheirHeapsAreEmptied) {
  constexpr int kThreads = 3;
  constexpr int kRests = 3000;
  std::atomic<int> at_work = kThreads;
  std::vector<std::thread> threads;
  for (int i = 0; i < kThreads; i++) {
    ThreadLocalHeap* heap = Acquire();
    threads.emplace_back([&, heap, i] {
      std::vector<uint64_t*> objects(50);
      for (int rest = 0; rest < kRests; rest++) {
        for (uint64_t*& object : objects) {
          object = static_cast<uint64_t*>(Allocate(heap, kClass));
          *object = static_cast<uint64_t>(i);
        }
        for (uint64_t* object : objects) {
          ASSERT_EQ(*object, static_cast<uint64_t>(i));
          Free(heap, object, kClass);
        }
        ASSERT_TRUE(heap->rest().Begin(heap->rest().Number()));
        heap->rest().End();
      }
      registry_.Retire(heap);
      at_work--;
    });
  }
  while (at_work > 0) registry_.EmptyResting(true);
  for (std::thread& thread : threads) thread.join();
  CheckEmpty();
}

}  // namespace
}  // namespace mesh
