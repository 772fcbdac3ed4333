// Tests of what the levels are, of canaries, and of objects of no size, apart from any heap.
#include "src/secure/policy.h"

#include <gtest/gtest.h>

#include <cstring>
#include <set>

#include "src/base/units.h"
#include "src/secure/canary.h"
#include "src/secure/zero_objects.h"

namespace mesh {
namespace {

TEST(SecurePolicy, EachLevelHasWhatTheOneBelowHas) {
  SecurePolicy below = SecurePolicy::Of(0);
  EXPECT_FALSE(below.has_canaries || below.clears || below.guards_large || below.guards_spans);
  for (int level = 1; level <= SecurePolicy::kHighestLevel; level++) {
    SecurePolicy policy = SecurePolicy::Of(level);
    EXPECT_EQ(policy.level, level);
    EXPECT_GE(policy.has_states, below.has_states);
    EXPECT_GE(policy.has_canaries, below.has_canaries);
    EXPECT_GE(policy.clears, below.clears);
    EXPECT_GE(policy.guards_large, below.guards_large);
    EXPECT_GE(policy.guards_spans, below.guards_spans);
    EXPECT_GE(policy.shuffles, below.shuffles);
    EXPECT_GE(policy.quarantine_slots, below.quarantine_slots);
    EXPECT_GE(policy.quarantine_bytes, below.quarantine_bytes);
    // What waits is zeros, or nobody would see that it was written to.
    EXPECT_TRUE(policy.clears || policy.quarantine_slots == 0);
    below = policy;
  }
}

class CanaryTest : public testing::Test {
 protected:
  static void SetUpTestSuite() { ASSERT_TRUE(Canary::Draw(4711)); }
};

TEST_F(CanaryTest, EveryByteCounts) {
  alignas(kPageSize) static char page[2 * kPageSize];
  for (size_t bytes : {1u, 7u, 16u, 100u, 4096u}) {
    for (size_t offset : {0u, 1u, 4090u, 4095u}) {
      Canary::Fill(page + offset, bytes);
      EXPECT_TRUE(Canary::IsWhole(page + offset, bytes));
      for (size_t i = 0; i < bytes; i++) {
        page[offset + i] ^= 1;
        ASSERT_FALSE(Canary::IsWhole(page + offset, bytes));
        page[offset + i] ^= 1;
      }
    }
  }
}

// What an overflow usually writes is never what is there.
TEST_F(CanaryTest, NoByteIsAUsualOne) {
  std::set<uint8_t> seen;
  // Of several periods: one of them has room for a part of the bytes.
  for (uint64_t seed = 0; seed < kPageSize / Canary::kPeriod; seed++) {
    ASSERT_TRUE(Canary::Draw(seed));
    for (uintptr_t at = 0; at < Canary::kPeriod; at++) seen.insert(Canary::At(at));
  }
  for (uint8_t byte : seen) EXPECT_GT(byte, 0x80);
  for (int usual : {0xff, 0xaa, 0xcc, 0xdd, 0xee, 0xfe, 0xcd, 0xde, 0xad, 0xbe, 0xef}) {
    EXPECT_EQ(seen.count(static_cast<uint8_t>(usual)), 0u) << usual;
  }
  EXPECT_GE(seen.size(), 90u);
}

// Meshing moves an object to the same offset in another page.
TEST_F(CanaryTest, ThePlaceInThePageDecides) {
  alignas(kPageSize) static char pages[4 * kPageSize];
  Canary::Fill(pages + 100, 50);
  memcpy(pages + 2 * kPageSize + 100, pages + 100, 50);
  EXPECT_TRUE(Canary::IsWhole(pages + 2 * kPageSize + 100, 50));
}

TEST(ZeroObjects, AreDistinctAndCannotBeTouched) {
  static ZeroObjects objects;
  objects.Reserve(1);
  std::set<void*> held;
  for (int i = 0; i < 10000; i++) {
    void* object = objects.Allocate(16);
    ASSERT_NE(object, nullptr);
    EXPECT_TRUE(objects.Contains(object));
    EXPECT_EQ(reinterpret_cast<uintptr_t>(object) % 16, 0u);
    EXPECT_TRUE(held.insert(object).second);
  }
  void* one = *held.begin();
  EXPECT_DEATH(static_cast<void>(*static_cast<volatile char*>(one)), "");
  EXPECT_DEATH(objects.Free(static_cast<char*>(one) + 1), "into the middle");
  for (void* object : held) objects.Free(object);
  EXPECT_DEATH(objects.Free(one), "double free");
  EXPECT_FALSE(objects.Contains(&objects));
}

}  // namespace
}  // namespace mesh
