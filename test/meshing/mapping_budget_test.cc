// Tests of the mapping budget: its limit, what is taken and given back, when the kernel is asked.
#include "src/meshing/mapping_budget.h"

#include <gtest/gtest.h>

#include <cerrno>

#include "src/base/units.h"
#include "src/os/memory.h"
#include "src/os/process.h"
#include "test/os/fault_injector.h"

namespace mesh {
namespace {

using os::Call;
using os::FaultInjector;

TEST(MappingBudget, TakesNothingBeforeTheFirstRefresh) {
  MappingBudget budget;
  EXPECT_FALSE(budget.Take(1));
}

TEST(MappingBudget, BeginsWithTheKernelsCount) {
  MappingBudget budget;
  budget.Refresh();
  auto count = os::MappingCount();
  ASSERT_TRUE(count.ok());
  EXPECT_NEAR(static_cast<double>(budget.used()), static_cast<double>(count.value), 8);
  auto maximum = os::MaxMappingCount();
  ASSERT_TRUE(maximum.ok());
  EXPECT_NEAR(static_cast<double>(budget.limit()), static_cast<double>(maximum.value) / 8 * 7, 1);
}

// [MB1]: what is mapped between two counts, and was not taken here, is the program's.
TEST(MappingBudget, LeavesMoreToAProgramThatMapsMuch) {
  MappingBudget budget;
  budget.Refresh();
  auto maximum = static_cast<int64_t>(os::MaxMappingCount().value);
  const int64_t limit = budget.limit();
  constexpr int64_t kTaken = 30'000;
  constexpr size_t kPages = kTaken + 10'000;
  auto place = os::MapAnonymous(kPages * kPageSize);
  ASSERT_TRUE(place.ok());
  for (size_t i = 0; i < kPages; i += 2) {
    ASSERT_TRUE(os::Protect(place.value + i * kPageSize, kPageSize, os::Protection::kNone).ok());
  }
  ASSERT_TRUE(budget.Take(kTaken));
  budget.Refresh();  // counts, as so many were taken
  EXPECT_LT(budget.limit(), limit);
  EXPECT_GE(budget.limit(), maximum / 4 * 3 - 1);
  ASSERT_TRUE(os::Unmap(place.value, kPages * kPageSize).ok());
}

TEST(MappingBudget, ReachesItsLimitAndNoFurther) {
  MappingBudget budget;
  budget.Refresh();
  int64_t left = budget.limit() - budget.used();
  EXPECT_FALSE(budget.Take(left + 1));
  EXPECT_TRUE(budget.is_exhausted());
  EXPECT_TRUE(budget.Take(left));
  EXPECT_FALSE(budget.Take(1));
  budget.Give(2);
  EXPECT_TRUE(budget.Take(2));
  EXPECT_FALSE(budget.Take(1));
}

// Half of what is the program's, [MB1].
TEST(MappingBudget, LendsSomeForAWhile) {
  MappingBudget budget;
  budget.Refresh();
  ASSERT_TRUE(budget.Take(budget.left()));
  EXPECT_FALSE(budget.Take(1));
  auto maximum = static_cast<int64_t>(os::MaxMappingCount().value);
  const int64_t lent = (maximum - budget.limit()) / 2;
  EXPECT_TRUE(budget.Take(lent, true));
  EXPECT_FALSE(budget.Take(1, true));
  EXPECT_EQ(budget.left(), 0);
  budget.Adjust(-lent);
  EXPECT_FALSE(budget.Take(1));
  EXPECT_GT(budget.for_meshing(), budget.limit() / 2);
  EXPECT_LT(budget.for_meshing(), budget.limit());
}

TEST(MappingBudget, AsksTheKernelAgainNearTheLimit) {
  MappingBudget budget;
  budget.Refresh();
  int64_t before = budget.used();
  ASSERT_TRUE(budget.Take(budget.limit() - before));
  // None of these mappings were made, which the kernel knows.
  budget.Refresh();
  EXPECT_LT(budget.used(), budget.limit() / 2);
  EXPECT_FALSE(budget.is_exhausted());
}

TEST(MappingBudget, DoesNotCountWhereTheAnswerCannotMatter) {
  MappingBudget budget;
  budget.Refresh();
  FaultInjector injector;
  ASSERT_TRUE(budget.Take(10));
  budget.Refresh();
  EXPECT_EQ(injector.total(), 0);
}

TEST(MappingBudget, WithoutProcHalfOfTheLimitIsTheProgramsOwn) {
  FaultInjector injector;
  injector.Refuse(Call::kOpen, EACCES, 1, FaultInjector::kForever);
  MappingBudget budget;
  budget.Refresh();
  EXPECT_GT(budget.limit(), 0);
  EXPECT_EQ(budget.used(), budget.limit() / 2);
  EXPECT_TRUE(budget.Take(budget.limit() / 4));
  EXPECT_FALSE(budget.Take(budget.limit() / 2));
  budget.Refresh();
  EXPECT_FALSE(budget.is_exhausted());
}

// [MB2]: a mapping for eight pages of the heap, and as many as a small heap can need.
TEST(MappingBudget, WhereForksAreExpectedTheHeapBoundsIt) {
  MappingBudget budget;
  budget.Refresh(0, 0);
  int64_t small = budget.limit() - budget.used();
  EXPECT_GE(small, 4096);
  budget.Refresh(int64_t{1} << 17, 0);
  EXPECT_EQ(budget.limit() - budget.used(), (1 << 17) / 8);
  // What is meshed costs a fork nothing.
  budget.Refresh(int64_t{1} << 17, 1 << 16);
  EXPECT_EQ(budget.limit() - budget.used(), (3 << 16) / 8);
  EXPECT_FALSE(budget.Take(budget.limit() - budget.used() + 1));
  // Above all, the system's limit.
  budget.Refresh(int64_t{1} << 40, 0);
  int64_t maximum = budget.limit();
  budget.Refresh();
  EXPECT_EQ(budget.limit(), maximum);
}

// A budget that stays used up is not counted again in each pass: that costs milliseconds.
TEST(MappingBudget, DoesNotCountAgainWhileNothingChanges) {
  MappingBudget budget;
  budget.Refresh();
  ASSERT_TRUE(budget.Take(budget.limit() - budget.used()));
  budget.Refresh();
  int64_t left = budget.limit() - budget.used();
  ASSERT_TRUE(budget.Take(left));
  ASSERT_FALSE(budget.Take(1));
  budget.Give(left);
  budget.Refresh();
  ASSERT_TRUE(budget.Take(budget.limit() - budget.used()));
  ASSERT_FALSE(budget.Take(1));
  budget.Refresh();
  FaultInjector injector;
  EXPECT_FALSE(budget.Take(budget.limit()));
  budget.Refresh();
  EXPECT_EQ(injector.total(), 0);
}

}  // namespace
}  // namespace mesh
