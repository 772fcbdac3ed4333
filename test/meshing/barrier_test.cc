// Tests of the write barrier in each tier: what is refused, and that refusals leave memory as it
// was.
#include "src/meshing/barrier.h"

#include <gtest/gtest.h>
#include <sched.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <memory>
#include <vector>

#include "src/base/units.h"
#include "src/os/memory.h"
#include "test/meshing/barrier_workers.h"
#include "test/os/fault_injector.h"

namespace mesh {
namespace {

class BarrierTiers : public testing::TestWithParam<BarrierTier> {
 protected:
  void SetUp() override {
    if (!TierIsThere(GetParam())) GTEST_SKIP();
    harness_ = std::make_unique<BarrierHarness>(4);
    harness_->barrier().Init(GetParam());
    for (size_t pair = 0; pair < 4; pair++) {
      for (int member : {0, 1}) *harness_->live_slot(pair, member, 3) = 10 * pair + member;
    }
  }

  // Every page can be written, every slot has its value, no signal is blocked.
  void ExpectIntact() {
    EXPECT_EQ(CurrentMask(), mask_);
    for (size_t pair = 0; pair < 4; pair++) {
      for (int member : {0, 1}) {
        volatile uint64_t* slot = harness_->live_slot(pair, member, 3);
        EXPECT_EQ(*slot, 10 * pair + member);
        // By a system call: a page left protected fails or hangs here. alarm() ends the latter.
        alarm(20);
        int ends[2];
        ASSERT_EQ(pipe(ends), 0);
        const uint64_t value = *slot;
        ASSERT_EQ(write(ends[1], &value, sizeof(value)), static_cast<ssize_t>(sizeof(value)));
        EXPECT_EQ(read(ends[0], const_cast<uint64_t*>(slot), sizeof(value)),
                  static_cast<ssize_t>(sizeof(value)));
        *slot = value;
        close(ends[0]);
        close(ends[1]);
        alarm(0);
      }
    }
  }

  const os::SignalMask mask_ = CurrentMask();
  std::unique_ptr<BarrierHarness> harness_;
};

// Refuses each system call of a pass in turn.
TEST_P(BarrierTiers, AnyRefusalLeavesMemoryIntact) {
  size_t failed_begins = 0;
  for (bool replace_one : {false, true}) {
    bool refused = true;
    for (int64_t nth = 1; refused; nth++) {
      ASSERT_LT(nth, 200);
      const Range span = harness_->span(1, 0);
      const uintptr_t copy = os::MapAnonymous(kPageSize).value;
      memcpy(reinterpret_cast<void*>(copy), reinterpret_cast<void*>(span.address), kPageSize);
      os::FaultInjector injector;
      injector.RefuseAny(EIO, nth);
      const bool begun = harness_->Begin(0, 4);
      failed_begins += !begun;
      if (begun) {
        if (replace_one && os::MovePages(copy, kPageSize, span.address).ok()) {
          harness_->barrier().MarkRemapped(2);
        }
        harness_->Finish();
      }
      refused = injector.refused() != 0;
      injector.Reset();
      ExpectIntact();
      static_cast<void>(os::Unmap(copy, kPageSize).ok());
    }
  }
  EXPECT_GT(failed_begins, 0u);
}

// What mprotect(2) is refused for good: to make memory read-only, or to make it writable again. Its
// pages are private, or shared views of the window.
TEST_P(BarrierTiers, ProtectionRefusedForGoodIsSurvived) {
  if (GetParam() != BarrierTier::kSegv) GTEST_SKIP();
  for (bool is_meshed : {false, true}) {
    ASSERT_TRUE(!is_meshed || harness_->Mesh(0, 4));
    for (os::Call call : {os::Call::kProtect, os::Call::kUnprotect}) {
      os::FaultInjector injector;
      injector.Refuse(call, ENOMEM, 1, os::FaultInjector::kForever);
      EXPECT_EQ(harness_->Begin(0, 4), call == os::Call::kUnprotect);
      if (call == os::Call::kUnprotect) harness_->Finish();
      EXPECT_GT(injector.refused(), 0);
      injector.Reset();
      ExpectIntact();
    }
  }
  const size_t mappings = os::MappingCount().value;
  for (int i = 0; i < 100; i++) {
    ASSERT_TRUE(harness_->Begin(0, 4));
    harness_->Finish();
  }
  EXPECT_LT(os::MappingCount().value, mappings + 20) << "what was set aside is given back";
}

TEST_P(BarrierTiers, RefusesNoneAndTooMany) {
  EXPECT_FALSE(harness_->barrier().Begin({}, {}));
  std::vector<Range> many(WriteBarrier::kMaxRanges + 1);
  EXPECT_FALSE(harness_->barrier().Begin(many, std::vector<uintptr_t>(many.size())));
  ExpectIntact();
}

TEST_P(BarrierTiers, ManyScatteredRangesCostNoMappingsInTheEnd) {
  constexpr size_t kPairs = WriteBarrier::kMaxRanges / 2;
  constexpr size_t kSlack = 20;  // for the heap's own mappings; cuts would be hundreds
  BarrierHarness harness(2 * kPairs);
  harness.barrier().Init(GetParam());
  ASSERT_EQ(harness.barrier().Prepare(), GetParam());
  EXPECT_TRUE(harness.barrier().Cover(harness.arena()));
  const size_t mappings = os::MappingCount().value;
  std::vector<Range> ranges;  // every other page, backwards
  for (size_t pair = 2 * kPairs; pair-- > 0;) ranges.push_back(harness.span(pair, 1));
  for (int i = 0; i < 3; i++) {
    ASSERT_TRUE(harness.barrier().Begin(ranges, std::vector<uintptr_t>(ranges.size())));
    if (GetParam() != BarrierTier::kSegv) {
      EXPECT_LE(os::MappingCount().value, mappings + kSlack);
    }
    harness.Finish();
  }
  EXPECT_LE(os::MappingCount().value, mappings + kSlack);
}

TEST_P(BarrierTiers, AVforkChildMayNotMesh) {
  // vfork(2) itself would let the test's own frame be changed: a process that shares our memory.
  static WriteBarrier* barrier;
  static bool begun;
  barrier = &harness_->barrier();
  static std::vector<Range> ranges;
  ranges = {harness_->span(0, 0)};
  std::vector<char> stack(256 * 1024);
  const int child = clone(
      [](void*) {
        begun = barrier->Begin(ranges, std::vector<uintptr_t>(ranges.size()));
        return 0;
      },
      stack.data() + stack.size(), CLONE_VM | CLONE_VFORK | SIGCHLD, nullptr);
  ASSERT_GT(child, 0);
  waitpid(child, nullptr, 0);
  EXPECT_FALSE(begun);
  ExpectIntact();
}

TEST_P(BarrierTiers, AForkedChildMeshesItsOwnMemory) {
  EXPECT_TRUE(harness_->Mesh(0, 2));
  EXPECT_EQ(InChild([&] {
              if (harness_->Begin(2, 1)) return 1;  // not told yet
              harness_->barrier().AfterForkInChild();
              if (!harness_->Mesh(2, 2)) return 2;
              ExpectIntact();
              return HasFailure() ? 3 : 0;
            }),
            0);
  EXPECT_TRUE(harness_->Unmesh(0, 2));
  ExpectIntact();
}

TEST_P(BarrierTiers, SurvivesTheLossOfItsDescriptor) {
  WriteBarrier& barrier = harness_->barrier();
  ASSERT_TRUE(harness_->Mesh(0, 1));
  const uint32_t epoch = barrier.epoch();
  int number = -1;
  for (int i = 0; i < 1024; i++) number = barrier.OwnsDescriptor(i) ? i : number;
  const bool has_descriptor =
      GetParam() == BarrierTier::kUserfault || GetParam() == BarrierTier::kUserfaultUserOnly;
  ASSERT_EQ(number >= 0, has_descriptor);
  EXPECT_FALSE(barrier.OwnsDescriptor(-1));
  if (!has_descriptor) return;
  EXPECT_TRUE(barrier.OwnsDescriptorAmong(3, ~0u));
  EXPECT_FALSE(barrier.OwnsDescriptorAmong(3, static_cast<unsigned int>(number) - 1));
  barrier.DescriptorLost();
  EXPECT_FALSE(barrier.OwnsDescriptorAmong(0, ~0u));
  EXPECT_FALSE(barrier.OwnsDescriptor(number));
  ASSERT_EQ(dup2(0, number), number);
  EXPECT_TRUE(harness_->Mesh(1, 1));
  EXPECT_EQ(barrier.epoch(), epoch + 1);
  ExpectIntact();
  close(number);
  // By a raw system call, without a word to us.
  for (int i = 0; i < 1024; i++) number = barrier.OwnsDescriptor(i) ? i : number;
  close(number);
  EXPECT_TRUE(harness_->Mesh(2, 1));
  EXPECT_EQ(barrier.epoch(), epoch + 2);
  ExpectIntact();
}

TEST_P(BarrierTiers, ForeignRegistrationIsLeftAlone) {
  if (GetParam() != BarrierTier::kUserfault && GetParam() != BarrierTier::kUserfaultUserOnly) {
    GTEST_SKIP();
  }
  os::Userfaultfd foreign;
  ASSERT_TRUE(foreign.Open(os::UserfaultMode::kUserOnly).ok());
  const Range span = harness_->span(1, 1);
  ASSERT_TRUE(foreign.Register(span.address, span.length).ok());
  EXPECT_FALSE(harness_->Begin(0, 4));
  EXPECT_EQ(harness_->barrier().refused_index(), 3);
  foreign.Close();
  ASSERT_TRUE(harness_->Begin(0, 4));
  EXPECT_EQ(harness_->barrier().refused_index(), -1);
  harness_->Finish();
  ExpectIntact();
}

TEST_P(BarrierTiers, PublishedBuffersAreExcludedInTheLowerTiers) {
  const bool lower =
      GetParam() == BarrierTier::kUserfaultUserOnly || GetParam() == BarrierTier::kSegv;
  SyscallBuffers::Record* record = harness_->buffers().Acquire();
  const Range buffer = {harness_->span(1, 0).address + 100, 8};
  const uint32_t token = harness_->buffers().Publish(record, {&buffer, 1});
  ASSERT_TRUE(harness_->Begin(0, 4));
  for (size_t i = 0; i < 8; i++) EXPECT_EQ(harness_->barrier().is_excluded(i), lower && i == 2);
  harness_->Finish();
  ExpectIntact();
  if (lower) {
    const Range all = harness_->arena();
    const uint32_t second = harness_->buffers().Publish(record, {&all, 1});
    EXPECT_FALSE(harness_->Begin(0, 4));  // nothing is left
    harness_->buffers().Withdraw(record, second);
  }
  harness_->buffers().Withdraw(record, token);
  harness_->buffers().Release(record);
  ExpectIntact();
}

TEST_P(BarrierTiers, PinnedMemoryIsExcludedInEveryTier) {
  const Range pinned = {harness_->span(1, 0).address + 100, 8};
  ASSERT_TRUE(harness_->buffers().LendStanding(pinned, SyscallBuffers::Standing::kPinned));
  ASSERT_TRUE(harness_->Begin(0, 4));
  for (size_t i = 0; i < 8; i++) EXPECT_EQ(harness_->barrier().is_excluded(i), i == 2);
  harness_->Finish();
  harness_->buffers().EndStanding(pinned.address);
  ExpectIntact();
}

TEST_P(BarrierTiers, ABadPointerStaysBad) {
  signal(SIGSEGV, SIG_DFL);  // a sanitizer has a handler
  ASSERT_TRUE(harness_->Mesh(0, 1));
  const uintptr_t nothing = os::Reserve(kPageSize).value;
  EXPECT_EQ(InChild([&] {
              int ends[2];
              char byte = 1;
              if (pipe(ends) != 0 || write(ends[1], &byte, 1) != 1) return 1;
              if (read(ends[0], reinterpret_cast<void*>(nothing), 1) != -1 || errno != EFAULT)
                return 2;
              *reinterpret_cast<volatile char*>(nothing) = 1;
              return 3;
            }),
            -SIGSEGV);
}

INSTANTIATE_TEST_SUITE_P(Tiers, BarrierTiers,
                         testing::Values(BarrierTier::kSingleThread, BarrierTier::kUserfault,
                                         BarrierTier::kUserfaultUserOnly, BarrierTier::kSegv),
                         [](const auto& info) { return TestName(info.param); });

}  // namespace
}  // namespace mesh
