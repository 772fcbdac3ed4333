// Tests of when freed slots go back to their spans before they are handed out again.
#include "src/global/drain_policy.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace mesh {
namespace {

constexpr uint64_t kAll = 100'000;
constexpr uint32_t kCount = 64;

constexpr DrainPolicy::Slots WithFree(uint64_t free, uint64_t all = kAll, size_t size = 64) {
  return {all, all - free, size};
}
constexpr DrainPolicy::Slots kSparse = WithFree(kAll / 4);
constexpr DrainPolicy::Slots kDense = WithFree(kAll / DrainPolicy::kDenseShare / 2);

TEST(DrainPolicy, BeginsWhereMuchIsFree) {
  DrainPolicy policy;
  EXPECT_FALSE(policy.OnFlush(kDense));
  EXPECT_FALSE(policy.OnFlush(WithFree(kAll / DrainPolicy::kSparseShare)));
  EXPECT_TRUE(policy.OnFlush(WithFree(kAll / DrainPolicy::kSparseShare + 1)));
  EXPECT_FALSE(policy.OnFlush(WithFree(1000, 2000, DrainPolicy::kLeastBytes / 1000 - 1)));
  EXPECT_TRUE(policy.OnFlush(WithFree(1000, 2000, DrainPolicy::kLeastBytes / 1000 + 1)));
}

TEST(DrainPolicy, EndsWhereLittleIs) {
  DrainPolicy policy;
  EXPECT_TRUE(policy.OnReturn(kSparse, kCount, true, false));
  EXPECT_TRUE(policy.OnReturn(WithFree(kAll / DrainPolicy::kDenseShare + 1), kCount, true, false));
  EXPECT_FALSE(policy.OnReturn(kDense, kCount, true, false));
}

// A program that only frees, or one whose threads wait for each other, tries again ever later.
TEST(DrainPolicy, HasPatienceWhereItDoesNotHelp) {
  for (bool waited : {false, true}) {
    DrainPolicy policy;
    for (uint32_t failures = 0; failures < 2 * DrainPolicy::kMostPatience; failures++) {
      EXPECT_TRUE(policy.OnFlush(kSparse));
      EXPECT_FALSE(policy.OnReturn(kSparse, kCount, waited, waited));
      uint32_t passed_over = 1u << std::min(failures, DrainPolicy::kMostPatience);
      for (uint32_t i = 0; i < passed_over; i++) EXPECT_FALSE(policy.OnFlush(kSparse));
    }
    EXPECT_TRUE(policy.OnFlush(kSparse));
    EXPECT_TRUE(policy.OnReturn(kSparse, kCount, true, false));
    EXPECT_FALSE(policy.OnReturn(kSparse, kCount, false, false));
    EXPECT_FALSE(policy.OnFlush(kSparse));
    EXPECT_TRUE(policy.OnFlush(kSparse));
  }
}

// [DP1]
TEST(DrainPolicy, IsGivenUpWhereNothingChanges) {
  DrainPolicy policy;
  EXPECT_TRUE(policy.OnFlush(kSparse));
  uint64_t returned = 0;
  do {
    returned += kCount;
    ASSERT_LE(returned, kAll * DrainPolicy::kMostTurns + kCount);
  } while (policy.OnReturn(kSparse, kCount, true, false));
  EXPECT_GE(returned, kAll * DrainPolicy::kMostTurns);
  EXPECT_FALSE(policy.OnFlush(kSparse));
  // Somewhat smaller, and smaller.
  EXPECT_FALSE(policy.OnFlush(WithFree(kAll / 4, kAll * 15 / 16)));
  EXPECT_TRUE(policy.OnFlush(WithFree(kAll / 4, kAll * 13 / 16)));
}

TEST(DrainPolicy, StartsAnewWhereAClassWasDense) {
  DrainPolicy policy;
  while (policy.OnReturn(kSparse, kCount, true, false)) {
  }
  EXPECT_FALSE(policy.OnFlush(kSparse));
  EXPECT_FALSE(policy.OnFlush(kDense));
  EXPECT_TRUE(policy.OnFlush(kSparse));
}

}  // namespace
}  // namespace mesh
