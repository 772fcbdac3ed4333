// Tests of the write barrier: which tier is chosen, and when another is.
#include <gtest/gtest.h>
#include <linux/io_uring.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

#include "src/meshing/barrier.h"
#include "test/meshing/barrier_workers.h"
#include "test/os/fault_injector.h"

namespace mesh {
namespace {

TEST(SingleThread, RefusesCompany) {
  BarrierHarness harness(1);
  harness.barrier().Init(BarrierTier::kSingleThread);
  const os::SignalMask mask = CurrentMask();
  EXPECT_TRUE(harness.Mesh(0, 1));
  EXPECT_EQ(harness.barrier().tier(), BarrierTier::kSingleThread);
  {
    Sleeper sleeper;
    EXPECT_FALSE(harness.Unmesh(0, 1));
    EXPECT_EQ(harness.barrier().tier(), BarrierTier::kNone);
    EXPECT_EQ(CurrentMask(), mask);
  }
  EXPECT_TRUE(harness.Unmesh(0, 1));
  os::FaultInjector injector;
  injector.Refuse(os::Call::kOpen, ENOENT);  // no /proc: careful
  EXPECT_FALSE(harness.Mesh(0, 1));
  harness.barrier().MarkAddressSpaceShared();
  EXPECT_FALSE(harness.Mesh(0, 1));
  EXPECT_EQ(CurrentMask(), mask);
}

TEST(Choice, AutomaticTakesTheBest) {
  BarrierHarness harness(1);
  WriteBarrier& barrier = harness.barrier();
  barrier.Init(BarrierTier::kAuto);
  EXPECT_EQ(barrier.Prepare(), BarrierTier::kSingleThread);
  EXPECT_TRUE(harness.buffers().enabled());
  Sleeper sleeper;
  const BarrierTier best = TierIsThere(BarrierTier::kUserfault) ? BarrierTier::kUserfault
                           : TierIsThere(BarrierTier::kUserfaultUserOnly)
                               ? BarrierTier::kUserfaultUserOnly
                               : BarrierTier::kSegv;
  EXPECT_EQ(barrier.Prepare(), best);
  EXPECT_EQ(harness.buffers().enabled(), best != BarrierTier::kUserfault);
}

// What each batch asks for is only what may have become wrong since: a second thread.
TEST(Choice, ATierForThreadsIsKeptFromBatchToBatch) {
  BarrierHarness harness(1);
  WriteBarrier& barrier = harness.barrier();
  barrier.Init(BarrierTier::kAuto);
  EXPECT_EQ(barrier.Prepare(), BarrierTier::kSingleThread);
  EXPECT_TRUE(harness.Mesh(0, 1));
  BarrierTier tier = BarrierTier::kNone;
  {
    Sleeper sleeper;
    EXPECT_TRUE(harness.Unmesh(0, 1));
    tier = barrier.tier();
    EXPECT_NE(tier, BarrierTier::kSingleThread);
  }
  os::FaultInjector injector;
  EXPECT_TRUE(harness.Mesh(0, 1));
  EXPECT_EQ(barrier.tier(), tier);
  EXPECT_EQ(injector.count(os::Call::kOpen), 0) << "a batch looked for threads in /proc";
  // A wish for another is heard, and so is the next series.
  barrier.Init(BarrierTier::kSingleThread);
  EXPECT_TRUE(harness.Unmesh(0, 1));
  EXPECT_EQ(barrier.tier(), BarrierTier::kSingleThread);
  barrier.Init(BarrierTier::kAuto);
  EXPECT_EQ(barrier.Prepare(), BarrierTier::kSingleThread);
}

// Calls that try to open a full userfaultfd.
int64_t WaysToTheFullTier() { return access("/dev/userfaultfd", R_OK | W_OK) == 0 ? 2 : 1; }

TEST(Choice, FallsTierByTier) {
  const BarrierTier next = TierIsThere(BarrierTier::kUserfaultUserOnly)
                               ? BarrierTier::kUserfaultUserOnly
                               : BarrierTier::kSegv;
  os::FaultInjector injector;
  injector.Refuse(os::Call::kUserfaultfdOpen, EPERM, 1, WaysToTheFullTier());
  BarrierHarness harness(1);
  Sleeper sleeper;
  harness.barrier().Init(BarrierTier::kAuto);
  EXPECT_EQ(harness.barrier().Prepare(), next);
  injector.Refuse(os::Call::kUserfaultfdOpen, EPERM, 1, os::FaultInjector::kForever);
  BarrierHarness poor(1);
  poor.barrier().Init(BarrierTier::kAuto);
  EXPECT_EQ(poor.barrier().Prepare(), BarrierTier::kSegv);
  EXPECT_TRUE(poor.Mesh(0, 1));
  poor.barrier().MarkAddressSpaceShared();
  EXPECT_EQ(poor.barrier().Prepare(), BarrierTier::kNone);
  EXPECT_FALSE(poor.Unmesh(0, 1));
}

TEST(Choice, TheDescriptorOfTheSecondTierIsKept) {
  if (!TierIsThere(BarrierTier::kUserfaultUserOnly)) GTEST_SKIP();
  os::FaultInjector injector;
  injector.Refuse(os::Call::kUserfaultfdOpen, EPERM, 1, WaysToTheFullTier());
  BarrierHarness harness(1);
  Sleeper sleeper;
  harness.barrier().Init(BarrierTier::kAuto);
  EXPECT_EQ(harness.barrier().Prepare(), BarrierTier::kUserfaultUserOnly);
  const int64_t opened = injector.count(os::Call::kUserfaultfdOpen);
  EXPECT_EQ(harness.barrier().Prepare(), BarrierTier::kUserfaultUserOnly);
  EXPECT_TRUE(harness.Mesh(0, 1));
  EXPECT_EQ(injector.count(os::Call::kUserfaultfdOpen), opened);
}

TEST(Choice, IoRingsLeaveTheFullTier) {
  for (BarrierTier tier : {BarrierTier::kSingleThread, BarrierTier::kSegv}) {
    WriteBarrier barrier;
    barrier.Init(tier);
    barrier.buffers().Enable();
    EXPECT_EQ(barrier.Prepare(), tier);
    io_uring_params parameters = {};
    int ring = static_cast<int>(syscall(SYS_io_uring_setup, 1, &parameters));
    if (ring < 0) GTEST_SKIP() << "no io_uring for us";
    EXPECT_EQ(barrier.Prepare(), BarrierTier::kNone);
    close(ring);
    barrier.segv_handler().Uninstall();
  }
}

TEST(Choice, ARefusalIsRemembered) {
  os::FaultInjector injector;
  injector.Refuse(os::Call::kUserfaultfdOpen, EPERM, 1, WaysToTheFullTier());
  BarrierHarness harness(1);
  harness.barrier().Init(BarrierTier::kUserfault);
  EXPECT_EQ(harness.barrier().Prepare(), BarrierTier::kNone);
  const int64_t asked = injector.count(os::Call::kUserfaultfdOpen);
  EXPECT_EQ(harness.barrier().Prepare(), BarrierTier::kNone);
  EXPECT_EQ(injector.count(os::Call::kUserfaultfdOpen), asked);
}

TEST(Choice, LowerTiersNeedAFrontThatPublishes) {
  for (BarrierTier tier : {BarrierTier::kUserfaultUserOnly, BarrierTier::kSegv}) {
    WriteBarrier barrier;
    barrier.Init(tier);
    EXPECT_EQ(barrier.Prepare(), BarrierTier::kNone);
    if (!TierIsThere(tier)) continue;
    barrier.buffers().Enable();
    EXPECT_EQ(barrier.Prepare(), tier);
    barrier.segv_handler().Uninstall();
  }
}

TEST(Choice, LowerTiersAreClosedOnceTheFullOneWasOpen) {
  if (!TierIsThere(BarrierTier::kUserfault)) GTEST_SKIP();
  BarrierHarness harness(1);
  harness.barrier().Init(BarrierTier::kUserfault);
  ASSERT_EQ(harness.barrier().Prepare(), BarrierTier::kUserfault);
  harness.barrier().Init(BarrierTier::kUserfaultUserOnly);
  EXPECT_EQ(harness.barrier().Prepare(), BarrierTier::kNone);
  harness.barrier().Init(BarrierTier::kSegv);
  EXPECT_EQ(harness.barrier().Prepare(), BarrierTier::kNone);
  harness.barrier().Init(BarrierTier::kNone);
  EXPECT_FALSE(harness.Mesh(0, 1));
}

}  // namespace
}  // namespace mesh
