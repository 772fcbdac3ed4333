// Tests of memory.h against the real kernel: contents, residency, refusals, budget of mappings.
#include "src/os/memory.h"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>
#include <fstream>
#include <functional>
#include <string>

#include "src/base/units.h"
#include "src/os/file.h"
#include "src/os/process.h"
#include "test/os/fault_injector.h"

namespace mesh::os {
namespace {

volatile char& At(uintptr_t address) { return *reinterpret_cast<volatile char*>(address); }

size_t Resident(uintptr_t address, size_t length) {
  Result<size_t> pages = ResidentPages(address, length);
  EXPECT_TRUE(pages.ok());
  return pages.value;
}

// Runs `body` in a forked child; true when it returned true.
bool InChild(const std::function<bool()>& body) {
  const pid_t child = fork();
  if (child == 0) _exit(body() ? 0 : 1);
  int status = 0;
  EXPECT_EQ(waitpid(child, &status, 0), child);
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

TEST(Memory, ReserveCommitDecommit) {
  Result<uintptr_t> place = Reserve(4 * kMiB);
  ASSERT_TRUE(place.ok());
  ASSERT_TRUE(Commit(place.value + kMiB, kMiB).ok());
  At(place.value + kMiB) = 1;
  EXPECT_EQ(Resident(place.value, 4 * kMiB), 1u);
  ASSERT_TRUE(Decommit(place.value + kMiB, kMiB).ok());
  ASSERT_TRUE(Commit(place.value, 4 * kMiB).ok());
  EXPECT_EQ(At(place.value + kMiB), 0);
  EXPECT_TRUE(Unmap(place.value, 4 * kMiB).ok());
  EXPECT_EQ(ResidentPages(place.value, kPageSize).error, ENOMEM);
}

// Whether the kernel counts the page among those that no dump has ("dd", proc(5)).
bool IsLeftOutOfDumps(uintptr_t address) {
  std::ifstream maps("/proc/self/smaps");
  bool is_inside = false;
  for (std::string line; std::getline(maps, line);) {
    uintptr_t start = 0;
    uintptr_t end = 0;
    if (sscanf(line.c_str(), "%lx-%lx ", &start, &end) == 2) {
      is_inside = address >= start && address < end;
    } else if (is_inside && line.starts_with("VmFlags:")) {
      return (line + " ").find(" dd ") != std::string::npos;
    }
  }
  ADD_FAILURE() << "not mapped";
  return false;
}

TEST(Memory, DumpsHoldWhatIsCommitted) {
  for (size_t alignment : {kPageSize, kGiB}) {
    Result<uintptr_t> place = ReserveAligned(4 * kMiB, alignment);
    ASSERT_TRUE(place.ok());
    EXPECT_TRUE(IsLeftOutOfDumps(place.value));
    ASSERT_TRUE(Commit(place.value, kMiB).ok());
    EXPECT_FALSE(IsLeftOutOfDumps(place.value));
    EXPECT_TRUE(IsLeftOutOfDumps(place.value + kMiB));
    ASSERT_TRUE(Decommit(place.value, kMiB).ok());
    EXPECT_TRUE(IsLeftOutOfDumps(place.value));
    EXPECT_TRUE(Unmap(place.value, 4 * kMiB).ok());
  }
}

TEST(Memory, ReserveAlignedTrims) {
  for (size_t alignment : {kPageSize, kMiB, kGiB}) {
    Result<uintptr_t> place = ReserveAligned(kGiB, alignment);
    ASSERT_TRUE(place.ok());
    EXPECT_EQ(place.value % alignment, 0u);
    EXPECT_TRUE(Unmap(place.value, kGiB).ok());
  }
  EXPECT_EQ(ReserveAligned(SIZE_MAX - kPageSize + 1, kGiB).error, ENOMEM);
}

TEST(Memory, ReserveAlignedWithoutRoomForTheOverhang) {
  FaultInjector injector;
  injector.Refuse(Call::kReserve, ENOMEM);  // the over-reservation alone
  Result<uintptr_t> place = ReserveAligned(kGiB, kGiB);
  ASSERT_TRUE(place.ok());
  EXPECT_EQ(place.value % kGiB, 0u);
  EXPECT_TRUE(Unmap(place.value, kGiB).ok());

  injector.Refuse(Call::kReserve, ENOMEM, 1, FaultInjector::kForever);
  EXPECT_EQ(ReserveAligned(kGiB, kGiB).error, ENOMEM);
}

TEST(Memory, ReserveAlignedUnderAddressSpaceLimit) {
  EXPECT_TRUE(InChild([] {
    // Room for one gigabyte and a half more than there is now: never for two.
    char text[128] = {};
    Result<size_t> size = ReadSmallFile("/proc/self/statm", text);
    const size_t used = strtoul(text, nullptr, 10) * kPageSize;
    struct rlimit limit = {used + kGiB + kGiB / 2, RLIM_INFINITY};
    if (!size.ok() || setrlimit(RLIMIT_AS, &limit) != 0) return false;
    Result<uintptr_t> place = ReserveAligned(kGiB, kGiB);
    return place.ok() && place.value % kGiB == 0 && ReserveAligned(kGiB, kGiB).error == ENOMEM;
  }));
}

TEST(Memory, MapPrivateFixedMergesWithItsNeighbours) {
  Result<uintptr_t> place = Reserve(kMiB);
  ASSERT_TRUE(place.ok() && Commit(place.value, kMiB).ok());
  At(place.value) = 1;
  At(place.value + kPageSize) = 2;
  Result<size_t> before = MappingCount();
  ASSERT_TRUE(MapPrivateFixed(place.value + kPageSize, kPageSize).ok());
  EXPECT_EQ(At(place.value), 1);
  EXPECT_EQ(At(place.value + kPageSize), 0);
  EXPECT_EQ(MappingCount().value, before.value);
  EXPECT_TRUE(Unmap(place.value, kMiB).ok());
}

TEST(Memory, ReleaseGivesZeros) {
  Result<uintptr_t> place = MapAnonymous(2 * kPageSize);
  ASSERT_TRUE(place.ok());
  At(place.value) = 1;
  At(place.value + kPageSize) = 2;
  ASSERT_TRUE(ReleasePages(place.value, kPageSize).ok());
  EXPECT_EQ(Resident(place.value, 2 * kPageSize), 1u);
  EXPECT_EQ(At(place.value), 0);
  EXPECT_EQ(At(place.value + kPageSize), 2);
  // Locked memory refuses MADV_DONTNEED.
  if (mlock(reinterpret_cast<void*>(place.value), 2 * kPageSize) == 0) {
    EXPECT_TRUE(ReleasePages(place.value + kPageSize, kPageSize).ok());
    EXPECT_EQ(At(place.value + kPageSize), 0);
  }
  EXPECT_TRUE(Unmap(place.value, 2 * kPageSize).ok());
}

// A window of shared memory with two aliases of its second page.
class AliasTest : public testing::TestWithParam<bool> {
 protected:
  void SetUp() override {
    if (GetParam()) {
      MemoryFile file;
      ASSERT_TRUE(file.Create().ok() && file.Resize(4 * kPageSize).ok());
      window_ = MapFileShared(file.descriptor(), 0, 4 * kPageSize).value;
      file.Close();
    } else {
      window_ = MapSharedAnonymous(4 * kPageSize).value;
    }
    arena_ = MapAnonymous(4 * kPageSize).value;
    ASSERT_NE(window_, 0u);
    ASSERT_NE(arena_, 0u);
  }
  void TearDown() override {
    EXPECT_TRUE(Unmap(window_, 4 * kPageSize).ok());
    EXPECT_TRUE(Unmap(arena_, 4 * kPageSize).ok());
  }

  uintptr_t window_ = 0;
  uintptr_t arena_ = 0;
};

TEST_P(AliasTest, SharesPagesWithoutADescriptor) {
  At(window_ + kPageSize) = 42;
  ASSERT_TRUE(Alias(window_ + kPageSize, kPageSize, arena_).ok());
  ASSERT_TRUE(Alias(window_ + kPageSize, kPageSize, arena_ + 2 * kPageSize).ok());
  EXPECT_EQ(At(arena_), 42);
  At(arena_) = 43;
  EXPECT_EQ(At(arena_ + 2 * kPageSize), 43);
  EXPECT_EQ(At(window_ + kPageSize), 43);
  ASSERT_TRUE(PunchHole(window_ + kPageSize, kPageSize).ok());
  EXPECT_EQ(Resident(window_, 4 * kPageSize), 0u);
  EXPECT_EQ(At(arena_ + 2 * kPageSize), 0);
}

TEST_P(AliasTest, RefusalLeavesTheTarget) {
  At(arena_) = 7;
  FaultInjector injector;
  injector.Refuse(Call::kAlias, ENOMEM);
  EXPECT_EQ(Alias(window_, kPageSize, arena_).error, ENOMEM);
  EXPECT_EQ(At(arena_), 7);
  // Private memory has no second mapping.
  EXPECT_EQ(Alias(arena_ + kPageSize, kPageSize, arena_).error, EINVAL);
  EXPECT_EQ(At(arena_), 7);
}

TEST_P(AliasTest, PopulateMakesPagesPresent) {
  EXPECT_EQ(Resident(window_, 4 * kPageSize), 0u);
  Status populated = Populate(window_, 2 * kPageSize);
  if (populated.error == EINVAL) GTEST_SKIP() << "kernel before 5.14";
  EXPECT_TRUE(populated.ok());
  EXPECT_EQ(Resident(window_, 4 * kPageSize), 2u);
}

INSTANTIATE_TEST_SUITE_P(Windows, AliasTest, testing::Bool(),
                         [](const auto& info) { return info.param ? "File" : "Anonymous"; });

TEST(Memory, PrivateViewOfAFile) {
  MemoryFile file;
  ASSERT_TRUE(file.Create().ok() && file.Resize(2 * kPageSize).ok());
  Result<uintptr_t> shared = MapFileShared(file.descriptor(), 0, 2 * kPageSize);
  Result<uintptr_t> view = MapAnonymous(kPageSize);
  ASSERT_TRUE(shared.ok() && view.ok());
  At(shared.value + kPageSize) = 5;
  ASSERT_TRUE(MapFilePrivateFixed(file.descriptor(), kPageSize, view.value, kPageSize).ok());
  EXPECT_EQ(At(view.value), 5);
  At(view.value) = 6;
  EXPECT_EQ(At(shared.value + kPageSize), 5);
  file.Close();
  EXPECT_TRUE(Unmap(shared.value, 2 * kPageSize).ok());
  EXPECT_TRUE(Unmap(view.value, kPageSize).ok());
}

TEST(Memory, ForkAdvice) {
  Result<uintptr_t> page = MapAnonymous(kPageSize);
  ASSERT_TRUE(page.ok());
  At(page.value) = 9;
  ASSERT_TRUE(AdviseWipeOnFork(page.value, kPageSize).ok());
  EXPECT_TRUE(InChild([&] { return At(page.value) == 0; }));
  ASSERT_TRUE(AdviseDontFork(page.value, kPageSize).ok());
  EXPECT_TRUE(InChild([&] { return ResidentPages(page.value, kPageSize).error == ENOMEM; }));
  ASSERT_TRUE(AdviseDoFork(page.value, kPageSize).ok());
  EXPECT_TRUE(InChild([&] { return ResidentPages(page.value, kPageSize).ok(); }));
  EXPECT_EQ(At(page.value), 9);
  EXPECT_TRUE(Unmap(page.value, kPageSize).ok());
}

TEST(Memory, HugePageAdvice) {
  Result<uintptr_t> place = MapAnonymous(kMiB);
  ASSERT_TRUE(place.ok());
  for (int error :
       {AdviseNoHugePage(place.value, kMiB).error, AdviseHugePage(place.value, kMiB).error}) {
    EXPECT_TRUE(error == 0 || error == EINVAL) << error;
  }
  EXPECT_TRUE(Unmap(place.value, kMiB).ok());
}

TEST(Memory, RemapGrowsWithContents) {
  Result<uintptr_t> place = MapAnonymous(2 * kPageSize);
  ASSERT_TRUE(place.ok());
  At(place.value) = 3;
  Result<uintptr_t> grown = Remap(place.value, 2 * kPageSize, 4 * kMiB);
  ASSERT_TRUE(grown.ok());
  EXPECT_EQ(At(grown.value), 3);
  EXPECT_EQ(At(grown.value + 4 * kMiB - 1), 0);
  EXPECT_TRUE(RemapInPlace(grown.value, 4 * kMiB, kPageSize).ok());
  FaultInjector injector;
  injector.Refuse(Call::kRemap, ENOMEM, 1, 2);
  EXPECT_EQ(Remap(grown.value, kPageSize, kMiB).error, ENOMEM);
  EXPECT_EQ(RemapInPlace(grown.value, kPageSize, kMiB).error, ENOMEM);
  EXPECT_EQ(At(grown.value), 3);
  EXPECT_TRUE(Unmap(grown.value, kPageSize).ok());
}

TEST(Memory, ProtectMeansIt) {
  Result<uintptr_t> page = MapAnonymous(kPageSize);
  ASSERT_TRUE(page.ok());
  At(page.value) = 1;
  ASSERT_TRUE(Protect(page.value, kPageSize, Protection::kRead).ok());
  EXPECT_EQ(At(page.value), 1);
  EXPECT_DEATH(At(page.value) = 2, "");
  ASSERT_TRUE(Protect(page.value, kPageSize, Protection::kNone).ok());
  EXPECT_DEATH(if (At(page.value) == 2) abort(), "");
  ASSERT_TRUE(Protect(page.value, kPageSize, Protection::kReadWrite).ok());
  At(page.value) = 2;
  EXPECT_TRUE(Unmap(page.value, kPageSize).ok());
}

TEST(Memory, GuardsCutNoMapping) {
  Result<uintptr_t> pages = MapAnonymous(3 * kPageSize);
  ASSERT_TRUE(pages.ok());
  const uintptr_t middle = pages.value + kPageSize;
  At(middle) = 1;
  if (Status guarded = Guard(middle, kPageSize); !guarded.ok()) {
    EXPECT_EQ(guarded.error, EINVAL);
    EXPECT_EQ(At(middle), 1);
    GTEST_SKIP() << "this kernel has none";
  }
  At(middle - 1) = 2;
  EXPECT_TRUE(ReleasePages(pages.value, 3 * kPageSize).ok());
  EXPECT_DEATH(At(middle) = 3, "");
  EXPECT_DEATH(EXPECT_EQ(At(middle + kPageSize - 1), 0), "");
  EXPECT_TRUE(Unguard(pages.value, 3 * kPageSize).ok());
  EXPECT_EQ(At(middle), 0);
  EXPECT_TRUE(Guard(middle, kPageSize).ok());
  EXPECT_TRUE(MapPrivateFixed(middle, kPageSize).ok());
  At(middle) = 4;
  EXPECT_TRUE(Unmap(pages.value, 3 * kPageSize).ok());
}

// Every wrapper hands on the refusal, under the kind that it says.
TEST(Memory, EachCallReportsItsRefusal) {
  Result<uintptr_t> page = MapAnonymous(2 * kPageSize);
  ASSERT_TRUE(page.ok());
  const uintptr_t a = page.value;
  At(a) = 1;
  const struct {
    Call call;
    std::function<int()> make;
  } cases[] = {
      {Call::kReserve, [] { return Reserve(kPageSize).error; }},
      {Call::kCommit, [&] { return Commit(a, kPageSize).error; }},
      {Call::kDecommit, [&] { return Decommit(a, kPageSize).error; }},
      {Call::kMapPrivateFixed, [&] { return MapPrivateFixed(a, kPageSize).error; }},
      {Call::kMapAnonymous, [] { return MapAnonymous(kPageSize).error; }},
      {Call::kMapSharedAnonymous, [] { return MapSharedAnonymous(kPageSize).error; }},
      {Call::kMapFileShared, [] { return MapFileShared(0, 0, kPageSize).error; }},
      {Call::kMapFilePrivate, [&] { return MapFilePrivateFixed(0, 0, a, kPageSize).error; }},
      {Call::kUnmap, [&] { return Unmap(a, kPageSize).error; }},
      {Call::kRelease, [&] { return ReleasePages(a, kPageSize).error; }},
      {Call::kPunchHole, [&] { return PunchHole(a, kPageSize).error; }},
      {Call::kPopulate, [&] { return Populate(a, kPageSize).error; }},
      {Call::kAdvise, [&] { return AdviseNoHugePage(a, kPageSize).error; }},
      {Call::kAdvise, [&] { return AdviseHugePage(a, kPageSize).error; }},
      {Call::kAdvise, [&] { return AdviseDontFork(a, kPageSize).error; }},
      {Call::kAdvise, [&] { return AdviseDoFork(a, kPageSize).error; }},
      {Call::kAdvise, [&] { return AdviseWipeOnFork(a, kPageSize).error; }},
      {Call::kAlias, [&] { return Alias(a, kPageSize, a + kPageSize).error; }},
      {Call::kRemap, [&] { return Remap(a, kPageSize, kMiB).error; }},
      {Call::kRemap, [&] { return MovePages(a, kPageSize, a + kPageSize).error; }},
      {Call::kRemap, [&] { return MovePagesKeepSource(a, kPageSize, a + kPageSize).status.error; }},
      {Call::kProtect, [&] { return Protect(a, kPageSize, Protection::kRead).error; }},
      {Call::kGuard, [&] { return Guard(a, kPageSize).error; }},
      {Call::kUnguard, [&] { return Unguard(a, kPageSize).error; }},
      {Call::kResident, [&] { return ResidentPages(a, kPageSize).error; }},
  };
  FaultInjector injector;
  for (const auto& test : cases) {
    injector.Refuse(test.call, ENFILE);
    EXPECT_EQ(test.make(), ENFILE) << CallName(test.call);
    EXPECT_EQ(At(a), 1) << CallName(test.call);
  }
  EXPECT_TRUE(Unmap(a, 2 * kPageSize).ok());
}

}  // namespace
}  // namespace mesh::os
