// Tests of the shuffle vector: what goes in comes out once, last in first out, within its capacity.
#include "src/local/shuffle_vector.h"

#include <gtest/gtest.h>

#include <set>

#include "src/base/random.h"

namespace mesh {
namespace {

constexpr uint32_t kFirst = 8;
constexpr uint32_t kLimit = 64;
constexpr uint32_t kReciprocal = 7;

class ShuffleVectorTest : public testing::Test {
 protected:
  ShuffleVectorTest() { vector_.Init(storage_, kFirst, kLimit, kReciprocal); }

  void Grow() { vector_.Grow(storage_ + ShuffleVector::StorageFor(kFirst)); }
  void GrowToLimit() {
    while (vector_.capacity() < kLimit) Grow();
  }
  void UseUntilItMayGrow() {
    for (uint32_t i = 0; i < ShuffleVector::kUsesToGrow; i++) Grow();
  }
  static void* SlotOf(uintptr_t number) { return reinterpret_cast<void*>(number * 16); }

  void* storage_[ShuffleVector::StorageFor(kFirst) + ShuffleVector::StorageFor(kLimit)] = {};
  ShuffleVector vector_;
};

TEST_F(ShuffleVectorTest, IsEmptyAtFirst) {
  EXPECT_EQ(vector_.Pop(), nullptr);
  EXPECT_EQ(vector_.size(), 0u);
  EXPECT_FALSE(vector_.is_full());
}

TEST_F(ShuffleVectorTest, HoldsEachSlotOnce) {
  Random random{7};
  GrowToLimit();
  std::set<void*> inside;
  uintptr_t next = 1;
  for (int step = 0; step < 100000; step++) {
    bool pushes = vector_.size() == 0 || (!vector_.is_full() && random.Below(2) == 0);
    if (pushes) {
      void* slot = SlotOf(next++);
      vector_.Push(slot);
      inside.insert(slot);
    } else {
      EXPECT_EQ(inside.erase(vector_.Pop()), 1u);
    }
    ASSERT_EQ(vector_.size(), inside.size());
    if (step % 100 == 0) {
      ASSERT_EQ(std::set<void*>(vector_.slots(), vector_.slots() + vector_.size()), inside);
    }
  }
}

TEST_F(ShuffleVectorTest, GrowsToItsLimitAndNoFurther) {
  uint32_t before = vector_.capacity();
  EXPECT_LT(before, kLimit);
  for (uint32_t i = 1; i < ShuffleVector::kUsesToGrow; i++) {
    Grow();
    EXPECT_EQ(vector_.capacity(), before);
  }
  Grow();
  EXPECT_EQ(vector_.capacity(), 2 * before);
  GrowToLimit();
  UseUntilItMayGrow();
  EXPECT_EQ(vector_.capacity(), kLimit);
  for (uint32_t i = 0; i < kLimit; i++) vector_.Push(SlotOf(i + 1));
  EXPECT_TRUE(vector_.is_full());
  EXPECT_EQ(vector_.size(), kLimit);
}

TEST_F(ShuffleVectorTest, ASmallLimitIsTheFirstCapacity) {
  void* storage[ShuffleVector::StorageFor(2)];
  void* unused[ShuffleVector::StorageFor(2)];
  ShuffleVector vector;
  vector.Init(storage, 2, 2, kReciprocal);
  for (uint32_t i = 0; i < ShuffleVector::kUsesToGrow; i++) vector.Grow(unused);
  EXPECT_EQ(vector.capacity(), 2u);
  EXPECT_EQ(vector.slots(), storage + 1);
}

TEST_F(ShuffleVectorTest, WhatItHoldsMovesAlongWhenItGrows) {
  for (uintptr_t i = 1; i <= 5; i++) vector_.Push(SlotOf(i));
  void** before = vector_.slots();
  UseUntilItMayGrow();
  EXPECT_NE(vector_.slots(), before);
  EXPECT_EQ(vector_.capacity(), 2 * kFirst);
  ASSERT_EQ(vector_.size(), 5u);
  for (uintptr_t i = 5; i > 0; i--) EXPECT_EQ(vector_.Pop(), SlotOf(i));
  EXPECT_EQ(vector_.Pop(), nullptr);
  void** after = vector_.slots();
  UseUntilItMayGrow();
  EXPECT_EQ(vector_.slots(), after);
}

// What was just freed is warm.
TEST_F(ShuffleVectorTest, TheLastFreedComesFirst) {
  for (uintptr_t i = 1; i <= 8; i++) vector_.Push(SlotOf(i));
  for (uintptr_t i = 8; i > 0; i--) EXPECT_EQ(vector_.Pop(), SlotOf(i));
}

TEST_F(ShuffleVectorTest, WhatItContainsIsFound) {
  EXPECT_FALSE(vector_.Contains(SlotOf(1)));
  for (uintptr_t i = 1; i <= 3; i++) vector_.Push(SlotOf(i));
  EXPECT_TRUE(vector_.Contains(SlotOf(1)));
  EXPECT_TRUE(vector_.Contains(SlotOf(3)));
  EXPECT_EQ(vector_.Pop(), SlotOf(3));
  EXPECT_FALSE(vector_.Contains(SlotOf(3)));
}

TEST_F(ShuffleVectorTest, TheOldestAreDropped) {
  for (uintptr_t i = 1; i <= 7; i++) vector_.Push(SlotOf(i));
  vector_.DropOldest(4);
  for (uintptr_t i = 7; i > 4; i--) EXPECT_EQ(vector_.Pop(), SlotOf(i));
  EXPECT_EQ(vector_.Pop(), nullptr);
}

TEST_F(ShuffleVectorTest, WhatWaitsToBeReturnedIsNotHandedOut) {
  EXPECT_FALSE(vector_.may_drain());  // it may still grow
  GrowToLimit();
  ASSERT_TRUE(vector_.may_drain());
  for (uintptr_t i = 1; i <= kLimit / 2; i++) vector_.Push(SlotOf(i));
  vector_.StartToDrain();
  EXPECT_TRUE(vector_.drains());
  EXPECT_EQ(vector_.reciprocal(), 0u);
  EXPECT_TRUE(vector_.is_full());
  for (uintptr_t i = 1; i <= kLimit / 2; i++) {
    EXPECT_EQ(vector_.AddToReturn(SlotOf(100 + i)), i == kLimit / 2);
    EXPECT_TRUE(vector_.Contains(SlotOf(100 + i)));
  }
  EXPECT_EQ(vector_.size(), kLimit / 2);
  EXPECT_EQ(vector_.to_return().size(), kLimit / 2);
  EXPECT_EQ(vector_.to_return().front(), SlotOf(101));
  EXPECT_EQ(vector_.Pop(), SlotOf(kLimit / 2));
  vector_.DropReturned();
  EXPECT_FALSE(vector_.Contains(SlotOf(101)));
  vector_.StopDraining(kReciprocal);
  EXPECT_EQ(vector_.capacity(), kLimit);
  EXPECT_EQ(vector_.reciprocal(), kReciprocal);
  EXPECT_EQ(vector_.Pop(), SlotOf(kLimit / 2 - 1));
}

TEST_F(ShuffleVectorTest, KnowsWhetherItWasDrawnFrom) {
  GrowToLimit();
  for (uintptr_t i = 1; i <= kLimit / 2; i++) vector_.Push(SlotOf(i));
  vector_.StartToDrain();
  for (uintptr_t i = 0; i < kLimit / 2; i++) vector_.AddToReturn(SlotOf(100 + i));
  EXPECT_FALSE(vector_.WasReused());
  for (uint32_t i = 0; i < kLimit / 8; i++) vector_.Pop();  // a quarter as many
  EXPECT_TRUE(vector_.WasReused());
  EXPECT_FALSE(vector_.WasReused());
  vector_.set_size(kLimit / 2);
  vector_.NoteRefilled();
  EXPECT_TRUE(vector_.WasReused());
  EXPECT_FALSE(vector_.WasReused());
}

// What a thread without a heap has: every call goes the slow way.
TEST(ShuffleVector, WithoutStorageItServesNothing) {
  ShuffleVector vector;
  int object = 0;
  EXPECT_EQ(vector.Pop(), nullptr);
  EXPECT_TRUE(vector.is_full());
  EXPECT_FALSE(vector.Contains(&object));
  EXPECT_EQ(vector.size(), 0u);
  EXPECT_EQ(vector.capacity(), 0u);
}

}  // namespace
}  // namespace mesh
