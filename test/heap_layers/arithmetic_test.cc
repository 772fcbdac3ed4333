#include "heaplayers/arithmetic.h"

#include <gtest/gtest.h>

namespace heaplayers {
namespace {

TEST(Arithmetic, SaturatesInsteadOfWrapping) {
  EXPECT_EQ(SaturatingAdd(1, 2), 3u);
  EXPECT_EQ(SaturatingAdd(kImpossible, 1), kImpossible);
  EXPECT_EQ(SaturatingAdd(kImpossible - 1, 2), kImpossible);
  EXPECT_EQ(SaturatingMultiply(3, 5), 15u);
  EXPECT_EQ(SaturatingMultiply(0, kImpossible), 0u);
  EXPECT_EQ(SaturatingMultiply(std::size_t{1} << 33, std::size_t{1} << 33), kImpossible);
}

TEST(Arithmetic, RoundsUpToMultiples) {
  EXPECT_EQ(RoundUp(0, 16), 0u);
  EXPECT_EQ(RoundUp(1, 16), 16u);
  EXPECT_EQ(RoundUp(16, 16), 16u);
  EXPECT_EQ(RoundUp(17, 1), 17u);
  EXPECT_EQ(RoundUp(kImpossible - 3, 16), kImpossible);
  EXPECT_EQ(RoundUp(kImpossible, 1), kImpossible);
}

TEST(Arithmetic, KnowsPowersOfTwo) {
  for (int bit = 0; bit < 64; ++bit) EXPECT_TRUE(IsPowerOfTwo(std::size_t{1} << bit));
  for (std::size_t n : {std::size_t{0}, std::size_t{3}, std::size_t{24}, kImpossible}) {
    EXPECT_FALSE(IsPowerOfTwo(n));
  }
}

}  // namespace
}  // namespace heaplayers
