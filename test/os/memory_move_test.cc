// Tests of the moves of memory.h: contents, several mappings, refusals in between.
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "src/base/units.h"
#include "src/os/memory.h"
#include "test/os/fault_injector.h"

namespace mesh::os {
namespace {

volatile char& At(uintptr_t address) { return *reinterpret_cast<volatile char*>(address); }

TEST(Memory, MovePages) {
  Result<uintptr_t> place = MapAnonymous(4 * kPageSize);
  ASSERT_TRUE(place.ok());
  At(place.value) = 1;
  At(place.value + kPageSize) = 2;
  ASSERT_TRUE(MovePages(place.value, kPageSize, place.value + 2 * kPageSize).ok());
  EXPECT_EQ(At(place.value + 2 * kPageSize), 1);
  EXPECT_EQ(ResidentPages(place.value, kPageSize).error, ENOMEM);  // a hole
  Status moved =
      MovePagesKeepSource(place.value + kPageSize, kPageSize, place.value + 3 * kPageSize).status;
  if (moved.ok()) {
    EXPECT_EQ(At(place.value + 3 * kPageSize), 2);
    EXPECT_EQ(At(place.value + kPageSize), 0);
  } else {
    EXPECT_EQ(moved.error, EINVAL);  // kernel before 5.7
  }
  EXPECT_TRUE(Unmap(place.value, 4 * kPageSize).ok());
}

// Several mappings are moved one after the other; a move that is refused in between is undone.
TEST(Memory, MovesAllMappingsOrNone) {
  constexpr size_t kPages = 9;
  for (uint32_t refused = 0; refused <= 3; refused++) {
    for (bool refuse_back : {false, true}) {
      Result<uintptr_t> source = MapAnonymous(kPages * kPageSize);
      Result<uintptr_t> target = MapAnonymous(kPages * kPageSize);
      ASSERT_TRUE(source.ok() && target.ok());
      for (size_t i = 0; i < kPages; i++)
        At(source.value + i * kPageSize) = static_cast<char>(i + 1);
      // Three mappings: the fourth to the eighth page are never shown to a child.
      ASSERT_TRUE(AdviseDontFork(source.value + 3 * kPageSize, 5 * kPageSize).ok());
      int error = 0;
      {
        FaultInjector injector;
        if (refused > 0) {
          injector.Refuse(Call::kRemap, ENOMEM, refused, refuse_back ? FaultInjector::kForever : 1);
        }
        error = MovePagesKeepSource(source.value, kPages * kPageSize, target.value).status.error;
      }
      if (error == EINVAL) GTEST_SKIP() << "kernel before 5.7";
      EXPECT_EQ(error, refused > 0 ? ENOMEM : 0);
      const uintptr_t holds = refused > 0 ? source.value : target.value;
      for (size_t i = 0; i < kPages; i++) {
        EXPECT_EQ(At(holds + i * kPageSize), static_cast<char>(i + 1)) << refused << " " << i;
      }
      EXPECT_EQ(At(source.value + 4 * kPageSize), refused == 0 ? 0 : 5);
      // Both are mapped throughout.
      EXPECT_TRUE(ResidentPages(source.value, kPages * kPageSize).ok());
      EXPECT_TRUE(ResidentPages(target.value, kPages * kPageSize).ok());
      EXPECT_TRUE(Unmap(source.value, kPages * kPageSize).ok());
      EXPECT_TRUE(Unmap(target.value, kPages * kPageSize).ok());
    }
  }
}

// What the program has protected is moved back, or copied, all the same.
TEST(Memory, UndoesMovesOfProtectedPages) {
  for (bool refuse_back : {false, true}) {
    Result<uintptr_t> source = MapAnonymous(4 * kPageSize);
    Result<uintptr_t> target = MapAnonymous(4 * kPageSize);
    ASSERT_TRUE(source.ok() && target.ok());
    At(source.value) = 1;
    At(source.value + 2 * kPageSize) = 3;
    ASSERT_TRUE(Protect(source.value, 2 * kPageSize, Protection::kNone).ok());
    {
      FaultInjector injector;
      injector.Refuse(Call::kRemap, ENOMEM, 2, refuse_back ? FaultInjector::kForever : 1);
      const MoveOutcome outcome = MovePagesKeepSource(source.value, 4 * kPageSize, target.value);
      if (outcome.status.error == EINVAL) GTEST_SKIP() << "kernel before 5.7";
      EXPECT_EQ(outcome.status.error, ENOMEM);
      EXPECT_FALSE(outcome.has_hole);
    }
    ASSERT_TRUE(Protect(source.value, 2 * kPageSize, Protection::kReadWrite).ok());
    EXPECT_EQ(At(source.value), 1);
    EXPECT_EQ(At(source.value + 2 * kPageSize), 3);
    EXPECT_TRUE(Unmap(source.value, 4 * kPageSize).ok());
    EXPECT_TRUE(Unmap(target.value, 4 * kPageSize).ok());
  }
}

// A limit that was lowered below what is in use: the kernel unmaps the target, and refuses.
TEST(Memory, TellsOfAHoleThatCannotBeFilled) {
  const pid_t child = fork();
  if (child == 0) {
    Result<uintptr_t> source = MapAnonymous(4 * kPageSize);
    Result<uintptr_t> target = MapAnonymous(4 * kPageSize);
    if (!source.ok() || !target.ok()) _exit(1);
    At(source.value) = 7;
    const rlimit limit{1 << 20, 1 << 20};
    if (setrlimit(RLIMIT_AS, &limit) != 0) _exit(2);
    const MoveOutcome outcome = MovePagesKeepSource(source.value, 4 * kPageSize, target.value);
    if (outcome.status.error == EINVAL) _exit(0);
    if (outcome.ok() || At(source.value) != 7) _exit(3);
    const bool is_mapped = ResidentPages(target.value, 4 * kPageSize).ok();
    _exit(is_mapped == !outcome.has_hole ? 0 : 4);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
}

}  // namespace
}  // namespace mesh::os
