// Tests of the pure rules of libmesh: futex flags, clone flags, mallinfo, mallopt.
#include <gtest/gtest.h>
#include <signal.h>

#include <climits>

#include "src/control/statistics.h"
#include "src/libmesh/fork_flags.h"
#include "src/libmesh/futex_rule.h"
#include "src/libmesh/mallinfo.h"

namespace mesh {
namespace {

TEST(FutexRule, OurWordBecomesPrivate) {
  EXPECT_TRUE(MayBecomePrivate(FUTEX_WAIT, true, false));
  EXPECT_TRUE(MayBecomePrivate(FUTEX_WAKE, true, false));
  EXPECT_TRUE(MayBecomePrivate(FUTEX_WAIT_BITSET | FUTEX_CLOCK_REALTIME, true, false));
  EXPECT_TRUE(MayBecomePrivate(FUTEX_LOCK_PI, true, false));
}

TEST(FutexRule, ForeignOrPrivateWordsStay) {
  EXPECT_FALSE(MayBecomePrivate(FUTEX_WAIT, false, false));
  EXPECT_FALSE(MayBecomePrivate(FUTEX_WAIT, false, true));
  EXPECT_FALSE(MayBecomePrivate(FUTEX_WAIT_PRIVATE, true, true));
  EXPECT_FALSE(MayBecomePrivate(FUTEX_FD, true, true));
}

TEST(FutexRule, PairsOnlyIfBothAreOurs) {
  for (int operation : {FUTEX_REQUEUE, FUTEX_CMP_REQUEUE, FUTEX_WAKE_OP, FUTEX_WAIT_REQUEUE_PI,
                        FUTEX_CMP_REQUEUE_PI}) {
    EXPECT_TRUE(MayBecomePrivate(operation, true, true)) << operation;
    EXPECT_FALSE(MayBecomePrivate(operation, true, false)) << operation;
    EXPECT_FALSE(MayBecomePrivate(operation, false, true)) << operation;
  }
}

TEST(ForkFlags, Kinds) {
  EXPECT_EQ(ForkKindOf(SIGCHLD), ForkKind::kCopiesMemory);
  EXPECT_EQ(ForkKindOf(CLONE_VFORK | SIGCHLD), ForkKind::kCopiesMemory);
  EXPECT_EQ(ForkKindOf(CLONE_VM), ForkKind::kSharesMemory);
  EXPECT_EQ(ForkKindOf(CLONE_VM | CLONE_THREAD | CLONE_SIGHAND), ForkKind::kSharesMemory);
  EXPECT_EQ(ForkKindOf(CLONE_VM | CLONE_VFORK), ForkKind::kBorrowsMemory);
}

TEST(Mallinfo, FromStatistics) {
  Statistics s;
  s.arena_committed_bytes = size_t{5} << 30;
  s.live_bytes = 1000;
  s.large_count = 3;
  s.large_bytes = 300;
  s.dirty_bytes = 7;
  s.class_count = 2;
  s.classes[0].capacity_objects = 10;
  s.classes[0].live_objects = 4;
  s.classes[1].capacity_objects = 1;
  s.classes[1].live_objects = 2;  // read while it changed
  struct mallinfo2 wide = ToMallinfo2(s);
  EXPECT_EQ(wide.arena, size_t{5} << 30);
  EXPECT_EQ(wide.ordblks, 6u);
  EXPECT_EQ(wide.hblks, 3u);
  EXPECT_EQ(wide.hblkhd, 300u);
  EXPECT_EQ(wide.uordblks, 1000u);
  EXPECT_EQ(wide.fordblks, (size_t{5} << 30) - 1000);
  EXPECT_EQ(wide.keepcost, 7u);
  struct mallinfo narrow = ToMallinfo(s);
  EXPECT_EQ(narrow.arena, INT_MAX) << "not wrapped";
  EXPECT_EQ(narrow.uordblks, 1000);
}

TEST(Mallopt, KnowsGlibcsParameters) {
  EXPECT_TRUE(IsMalloptParameter(M_ARENA_MAX));
  EXPECT_TRUE(IsMalloptParameter(M_MXFAST));
  EXPECT_TRUE(IsMalloptParameter(M_TRIM_THRESHOLD));
  EXPECT_FALSE(IsMalloptParameter(0));
  EXPECT_FALSE(IsMalloptParameter(12345));
}

}  // namespace
}  // namespace mesh
