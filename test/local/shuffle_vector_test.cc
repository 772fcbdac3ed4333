// Tests of the shuffle vector: what goes in comes out once, in random order, within its capacity.
#include "src/local/shuffle_vector.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <set>
#include <vector>

namespace mesh {
namespace {

constexpr uint32_t kLimit = 64;

class ShuffleVectorTest : public testing::TestWithParam<bool> {
 protected:
  ShuffleVectorTest() { vector_.Init(slots_, kLimit, GetParam()); }

  void GrowToLimit() {
    while (vector_.capacity() < kLimit) vector_.Grow();
  }
  void* SlotOf(uintptr_t number) { return reinterpret_cast<void*>(number * 16); }

  void* slots_[kLimit] = {};
  ShuffleVector vector_;
  Random random_{7};
};

TEST_P(ShuffleVectorTest, IsEmptyAtFirst) {
  EXPECT_EQ(vector_.Pop(), nullptr);
  EXPECT_EQ(vector_.size(), 0u);
  EXPECT_FALSE(vector_.is_full());
}

TEST_P(ShuffleVectorTest, HoldsEachSlotOnce) {
  GrowToLimit();
  std::set<void*> inside;
  uintptr_t next = 1;
  for (int step = 0; step < 100000; step++) {
    bool pushes = vector_.size() == 0 || (!vector_.is_full() && random_.Below(2) == 0);
    if (pushes) {
      void* slot = SlotOf(next++);
      vector_.Push(slot, random_);
      inside.insert(slot);
    } else {
      EXPECT_EQ(inside.erase(vector_.Pop()), 1u);
    }
    ASSERT_EQ(vector_.size(), inside.size());
    if (step % 100 == 0) {
      ASSERT_EQ(std::set<void*>(slots_, slots_ + vector_.size()), inside);
    }
  }
}

TEST_P(ShuffleVectorTest, GrowsToItsLimitAndNoFurther) {
  uint32_t before = vector_.capacity();
  EXPECT_LT(before, kLimit);
  vector_.Grow();
  EXPECT_EQ(vector_.capacity(), 2 * before);
  for (int i = 0; i < 20; i++) vector_.Grow();
  EXPECT_EQ(vector_.capacity(), kLimit);
  for (uint32_t i = 0; i < kLimit; i++) {
    EXPECT_FALSE(vector_.is_full());
    vector_.Push(SlotOf(i + 1), random_);
  }
  EXPECT_TRUE(vector_.is_full());
}

TEST_P(ShuffleVectorTest, ASmallLimitIsTheFirstCapacity) {
  void* two[2];
  ShuffleVector vector;
  vector.Init(two, 2, GetParam());
  EXPECT_EQ(vector.capacity(), 2u);
}

INSTANTIATE_TEST_SUITE_P(Order, ShuffleVectorTest, testing::Bool(),
                         [](const auto& info) { return info.param ? "Shuffled" : "Plain"; });

TEST(ShuffleVector, WithoutShufflingTheLastComesFirst) {
  void* slots[kLimit];
  ShuffleVector vector;
  Random random;
  vector.Init(slots, kLimit, false);
  for (uintptr_t i = 1; i <= 8; i++) vector.Push(reinterpret_cast<void*>(i), random);
  for (uintptr_t i = 8; i > 0; i--) EXPECT_EQ(vector.Pop(), reinterpret_cast<void*>(i));
}

// Meshing's guarantee rests on this: where a freed slot comes to lie is uniform.
TEST(ShuffleVector, AFreedSlotComesToLieAnywhere) {
  constexpr uint32_t kSize = 16;
  constexpr int kRounds = 64000;
  int places[kSize] = {};
  Random random(11);
  for (int round = 0; round < kRounds; round++) {
    void* slots[kLimit];
    ShuffleVector vector;
    vector.Init(slots, kLimit, true);
    while (vector.capacity() < kSize) vector.Grow();
    for (uintptr_t i = 1; i <= kSize; i++) vector.Push(reinterpret_cast<void*>(i), random);
    auto* last = reinterpret_cast<void*>(uintptr_t{kSize});
    places[std::find(slots, slots + kSize, last) - slots]++;
  }
  // Chi-square with 15 degrees of freedom: above 37.7 once in a thousand generators.
  double expected = static_cast<double>(kRounds) / kSize;
  double chi_square = 0;
  for (int count : places) chi_square += std::pow(count - expected, 2) / expected;
  EXPECT_LT(chi_square, 37.7);
}

}  // namespace
}  // namespace mesh
