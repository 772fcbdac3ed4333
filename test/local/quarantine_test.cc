// Tests of Quarantine: nothing leaves a row before it is full, then each slot takes the place of a
// random one of its own class, and all come out in the end, each once.
#include "src/local/quarantine.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <map>
#include <set>
#include <vector>

#include "src/base/units.h"

namespace mesh {
namespace {

constexpr Quarantine::Limits kLimits = {64, 8 * kKiB};
constexpr SizeClass kSmall = ClassFor(64);
constexpr SizeClass kMiddle = ClassFor(1024);
constexpr SizeClass kLarge = ClassFor(20000);

class QuarantineTest : public testing::Test {
 protected:
  QuarantineTest()
      : memory_((Quarantine::Footprint(kLimits) + 7) / 8),
        quarantine_(Quarantine::Create(memory_.data(), kLimits)),
        random_(1) {}

  // Slots are never looked into.
  void* NextSlot() { return reinterpret_cast<void*>(next_ += 16); }
  void* Swap(void* slot, SizeClass size_class) {
    return quarantine_->Swap(slot, PageEntry(size_class, 1), random_);
  }
  // Swaps until the row is full. Returns: what is in it.
  std::set<void*> Fill(SizeClass size_class, uint32_t slots) {
    std::set<void*> in;
    for (uint32_t i = 0; i < slots; i++) {
      void* slot = NextSlot();
      EXPECT_EQ(Swap(slot, size_class), nullptr) << i;
      in.insert(slot);
    }
    return in;
  }
  std::map<SizeClass, std::set<void*>> Content() const {
    std::map<SizeClass, std::set<void*>> content;
    quarantine_->ForEach([&](void* slot, SizeClass size_class) {
      EXPECT_TRUE(content[size_class].insert(slot).second) << "twice";
    });
    return content;
  }

  std::vector<uint64_t> memory_;
  Quarantine* quarantine_;
  Random random_;
  uintptr_t next_ = 0x10000;
};

TEST_F(QuarantineTest, ARowHoldsSlotsOrBytesButFourAtLeast) {
  const std::map<SizeClass, uint32_t> capacities = {{kSmall, 64}, {kMiddle, 8}, {kLarge, 4}};
  for (auto [size_class, capacity] : capacities) {
    std::set<void*> in = Fill(size_class, capacity);
    EXPECT_EQ(Content()[size_class], in);
    void* out = Swap(NextSlot(), size_class);
    EXPECT_EQ(in.count(out), 1u) << int{size_class};
  }
}

TEST_F(QuarantineTest, TheOnesThatLeaveAreRandomOnesOfTheClass) {
  std::set<void*> in = Fill(kSmall, 64);
  const std::set<void*> others = Fill(kMiddle, 8);
  std::map<void*, int> stay;  // swaps that each has seen
  std::vector<int> stays;
  for (int i = 0; i < 20000; i++) {
    for (void* slot : in) stay[slot]++;
    void* fresh = NextSlot();
    void* out = Swap(fresh, kSmall);
    ASSERT_EQ(in.erase(out), 1u);
    in.insert(fresh);
    stays.push_back(stay[out]);
    stay.erase(out);
  }
  // As many as there are places on average; some leave at once, some stay for long.
  double sum = 0;
  for (int swaps : stays) sum += swaps;
  EXPECT_NEAR(sum / static_cast<double>(stays.size()), 64, 3);
  EXPECT_LT(*std::min_element(stays.begin(), stays.end()), 4);
  EXPECT_GT(*std::max_element(stays.begin(), stays.end()), 3 * 64);
  EXPECT_EQ(Content()[kSmall], in);
  EXPECT_EQ(Content()[kMiddle], others);
}

TEST_F(QuarantineTest, DrainingEmptiesItAndItFillsAgain) {
  for (int round = 0; round < 3; round++) {
    std::map<SizeClass, std::set<void*>> in = {{kSmall, Fill(kSmall, round == 1 ? 64 : 10)},
                                               {kLarge, Fill(kLarge, 4)}};
    const size_t bytes = in[kSmall].size() * 64 + 4 * kSizeClasses[kLarge].size;
    EXPECT_EQ(quarantine_->bytes(), bytes);
    quarantine_->Drain(
        [&](void* slot, SizeClass size_class) { EXPECT_EQ(in[size_class].erase(slot), 1u); });
    EXPECT_TRUE(in[kSmall].empty() && in[kLarge].empty());
    EXPECT_EQ(quarantine_->bytes(), 0u);
    EXPECT_TRUE(Content().empty());
  }
}

// [Q1] A fork's child may find it in the middle of being emptied.
TEST_F(QuarantineTest, WhatIsLeftOfADrainComesOutOnce) {
  std::set<void*> in = Fill(kSmall, 64);
  std::set<void*> seen;
  quarantine_->Drain([&](void* slot, SizeClass) {
    if (seen.empty()) {
      std::vector<uint64_t> copy = memory_;
      auto* child = reinterpret_cast<Quarantine*>(copy.data());
      child->Drain([&](void* left, SizeClass) { EXPECT_TRUE(seen.insert(left).second); });
      EXPECT_EQ(seen.size(), 63u);
      EXPECT_EQ(seen.count(slot), 0u);
    }
    in.erase(slot);
  });
  EXPECT_TRUE(in.empty());
}

// ... or when a slot is in its place and not counted.
TEST_F(QuarantineTest, ASlotThatIsNotCountedYetComesOutToo) {
  Fill(kSmall, 10);
  std::vector<uint64_t> before = memory_;
  Fill(kSmall, 1);
  size_t changed = 0;
  for (size_t i = 0; i < memory_.size(); i++) {
    // The place, which nobody had, but neither the row nor the draws.
    if (before[i] == memory_[i] || before[i] != 0) continue;
    before[i] = memory_[i];
    changed++;
  }
  ASSERT_EQ(changed, 1u);
  auto* child = reinterpret_cast<Quarantine*>(before.data());
  int left = 0;
  child->Drain([&](void*, SizeClass) { left++; });
  EXPECT_EQ(left, 11);
  EXPECT_EQ(child->Swap(NextSlot(), PageEntry(kSmall, 0), random_), nullptr);
  EXPECT_EQ(child->bytes(), 64u);
}

TEST_F(QuarantineTest, APatrolVisitsSomeOfAClass) {
  Fill(kMiddle, 8);
  std::set<void*> in = Fill(kSmall, 20);
  std::set<void*> seen;
  for (int i = 0; i < 100; i++) {
    int visits = 0;
    quarantine_->ForSome(kSmall, 8, random_, [&](void* slot, SizeClass size_class) {
      visits++;
      EXPECT_EQ(size_class, kSmall);
      EXPECT_EQ(in.count(slot), 1u);
      seen.insert(slot);
    });
    EXPECT_EQ(visits, 8);
  }
  EXPECT_EQ(seen, in);
  quarantine_->ForSome(kLarge, 8, random_, [](void*, SizeClass) { ADD_FAILURE(); });
}

}  // namespace
}  // namespace mesh
