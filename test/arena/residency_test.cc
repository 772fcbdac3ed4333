// Tests of Residency: zeros everywhere, whatever was there; how much is there.
#include "src/arena/residency.h"

#include <errno.h>
#include <gtest/gtest.h>
#include <string.h>
#include <sys/resource.h>

#include <algorithm>
#include <functional>

#include "src/base/random.h"
#include "src/base/units.h"
#include "src/os/fault_injection.h"
#include "src/os/memory.h"

namespace mesh {
namespace {

constexpr size_t kPages = 1100;  // more than are asked for at once, and a rest

class ResidencyTest : public testing::Test {
 protected:
  void SetUp() override {
    os::Result<uintptr_t> mapped = os::MapAnonymous(kPages << kPageShift);
    ASSERT_TRUE(mapped.ok());
    address_ = mapped.value;
    // A huge page is there as a whole.
    static_cast<void>(os::AdviseNoHugePage(address_, kPages << kPageShift).ok());
  }
  void TearDown() override {
    os::fault_hook = nullptr;
    ASSERT_TRUE(os::Unmap(address_, kPages << kPageShift).ok());
  }

  // Uses the pages that `uses(page)` names, to their last byte.
  void Use(const std::function<bool(size_t)>& uses) {
    for (size_t page = 0; page < kPages; page++) {
      if (uses(page)) memset(reinterpret_cast<char*>(address_) + page * kPageSize, 1, kPageSize);
    }
  }
  size_t Resident() const { return os::ResidentPages(address_, kPages << kPageShift).value; }
  bool IsZero() const {
    const auto* bytes = reinterpret_cast<const char*>(address_);
    return std::all_of(bytes, bytes + (kPages << kPageShift), [](char c) { return c == 0; });
  }
  // What is there afterwards, of what was before.
  size_t Clear() {
    residency_.Clear(address_, kPages);
    const size_t left = Resident();
    EXPECT_TRUE(IsZero());
    EXPECT_TRUE(os::ReleasePages(address_, kPages << kPageShift).ok());
    return left;
  }

  uintptr_t address_ = 0;
  Residency residency_;
};

TEST_F(ResidencyTest, WhatIsThereIsWrittenTo) {
  Use([](size_t) { return true; });
  EXPECT_EQ(Clear(), kPages);
}

// To the kernel they are there; all are one page.
TEST_F(ResidencyTest, PagesThatWereOnlyReadTakeNoMemory) {
  EXPECT_TRUE(IsZero());
  struct rusage before = {};
  struct rusage after = {};
  ASSERT_EQ(getrusage(RUSAGE_SELF, &before), 0);
  residency_.Clear(address_, kPages);
  ASSERT_EQ(getrusage(RUSAGE_SELF, &after), 0);
  EXPECT_LT(after.ru_minflt - before.ru_minflt, 50);  // a write to each would be a fault
}

TEST_F(ResidencyTest, AFewPagesStayAndNoneComeToThem) {
  Use([](size_t page) { return page == 0 || page == 550 || page == kPages - 1; });
  EXPECT_EQ(Clear(), 3u);
  EXPECT_EQ(Clear(), 0u);
}

TEST_F(ResidencyTest, PagesThatLieScatteredGo) {
  Use([](size_t page) { return page % 10 == 0; });
  EXPECT_EQ(Clear(), 0u);
}

TEST_F(ResidencyTest, AnyPatternReadsZero) {
  Random random(1);
  for (uint32_t share : {2, 3, 5, 20, 100, 400}) {
    Use([&](size_t) { return random.Below(share) == 0; });
    SCOPED_TRACE(share);
    Clear();
  }
}

TEST_F(ResidencyTest, WithoutAskingFourPagesDecide) {
  residency_.StopAsking();
  Use([](size_t) { return true; });
  EXPECT_EQ(Clear(), kPages);
  Use([](size_t page) { return page % 100 == 7; });
  EXPECT_EQ(Clear(), 0u);
}

TEST_F(ResidencyTest, EstimatesWhatIsThere) {
  EXPECT_EQ(residency_.Estimate(address_, kPages), 0u);
  Use([](size_t page) { return page % 4 == 0; });
  EXPECT_NEAR(residency_.Estimate(address_, kPages), kPages / 4, kPages / 16);
  Use([](size_t page) { return page >= kPages / 2; });
  EXPECT_NEAR(residency_.Estimate(address_, kPages), kPages * 5 / 8, kPages / 8);
  Use([](size_t) { return true; });
  EXPECT_EQ(residency_.Estimate(address_, kPages), kPages);
  EXPECT_EQ(residency_.Estimate(address_, 1), 1u);
  EXPECT_TRUE(os::ReleasePages(address_, kPages << kPageShift).ok());
  residency_.StopAsking();
  EXPECT_EQ(residency_.Estimate(address_, kPages), kPages);
}

TEST_F(ResidencyTest, RefusedAnAnswerItStillClears) {
  os::fault_hook = [](os::Call call) { return call == os::Call::kResident ? ENOMEM : 0; };
  Use([](size_t) { return true; });
  residency_.Clear(address_, kPages);
  EXPECT_TRUE(IsZero());
}

TEST_F(ResidencyTest, RefusedADropItStillClears) {
  os::fault_hook = [](os::Call call) { return call == os::Call::kRelease ? EINVAL : 0; };
  Use([](size_t page) { return page % 10 == 0; });
  residency_.Clear(address_, kPages);
  EXPECT_TRUE(IsZero());
}

}  // namespace
}  // namespace mesh
