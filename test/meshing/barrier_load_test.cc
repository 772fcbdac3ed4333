// The barrier under load: threads store into spans, by themselves and by system calls, while a
// mesher meshes and unmeshes them. No store may be lost, no system call may fail.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/time.h>

#include <memory>
#include <tuple>

#include "test/meshing/barrier_workers.h"

namespace mesh {
namespace {

class BarrierLoad : public testing::TestWithParam<std::tuple<BarrierTier, bool>> {};

TEST_P(BarrierLoad, LosesNothingAndRefusesNothing) {
  const auto [tier, file_window] = GetParam();
  if (!TierIsThere(tier)) GTEST_SKIP() << "the kernel refuses " << BarrierTierName(tier);
  const uint64_t seed = Seed();
  BarrierHarness harness(24, file_window);
  harness.buffers().UseMembarrier();
  harness.barrier().Init(tier);
  ASSERT_EQ(harness.barrier().Prepare(), tier);
  EXPECT_TRUE(harness.barrier().Cover(harness.arena()));
  std::vector<std::unique_ptr<Worker>> workers;
  using Kind = Worker::Kind;
  for (Kind kind : {Kind::kStore, Kind::kStore, Kind::kRead, Kind::kReadv, Kind::kPread}) {
    workers.push_back(
        std::make_unique<Worker>(harness, kind, workers.size(), seed + workers.size()));
  }
  const Passes passes = RunPasses(harness, seed);
  EXPECT_GT(passes.done, 20u);
  EXPECT_LE(passes.refused, passes.done);
  uint64_t operations = 0;
  for (auto& worker : workers) {
    worker->Stop();
    EXPECT_EQ(worker->lost(), 0u);
    EXPECT_EQ(worker->failed(), 0u);
    EXPECT_GT(worker->operations(), 10u);
    operations += worker->operations();
  }
  printf("%zu passes, %zu refused, %llu operations\n", passes.done, passes.refused,
         static_cast<unsigned long long>(operations));
}

INSTANTIATE_TEST_SUITE_P(Tiers, BarrierLoad,
                         testing::Combine(testing::Values(BarrierTier::kUserfault,
                                                          BarrierTier::kUserfaultUserOnly,
                                                          BarrierTier::kSegv),
                                          testing::Bool()),
                         [](const auto& info) {
                           return TestName(std::get<0>(info.param)) +
                                  (std::get<1>(info.param) ? "_file" : "_anonymous");
                         });

volatile uint64_t* handler_slot = nullptr;
uint64_t handler_count = 0;
void CountInSlot(int) {
  *handler_slot = *handler_slot + 1;
  handler_count++;
}

TEST(SingleThread, SignalHandlersLoseNothing) {
  BarrierHarness harness(8);
  harness.barrier().Init(BarrierTier::kSingleThread);
  handler_slot = harness.live_slot(0, 0, 0);
  handler_count = 0;
  signal(SIGALRM, &CountInSlot);
  const struct itimerval often = {{0, 100}, {0, 100}};
  ASSERT_EQ(setitimer(ITIMER_REAL, &often, nullptr), 0);
  const Passes passes = RunPasses(harness, Seed());
  const struct itimerval never = {};
  setitimer(ITIMER_REAL, &never, nullptr);
  signal(SIGALRM, SIG_DFL);
  EXPECT_EQ(passes.refused, 0u);
  EXPECT_GT(handler_count, 100u);
  EXPECT_EQ(*handler_slot, handler_count);
}

TEST(Load, UnprivilegedUserGetsTheUserModeTier) {
  constexpr int kSkipped = 77;
  if (geteuid() != 0 || !TierIsThere(BarrierTier::kUserfaultUserOnly)) GTEST_SKIP();
  const int status = InChild([] {
    if (setresgid(65534, 65534, 65534) != 0 || setresuid(65534, 65534, 65534) != 0) {
      return kSkipped;  // no such user here (a container's user namespace)
    }
    if (TierIsThere(BarrierTier::kUserfault)) return 0;  // vm.unprivileged_userfaultfd
    const uint64_t seed = Seed();
    BarrierHarness harness(16);
    harness.buffers().UseMembarrier();
    harness.barrier().Init(BarrierTier::kAuto);
    Worker store(harness, Worker::Kind::kStore, 0, seed);
    Worker read(harness, Worker::Kind::kRead, 1, seed + 1);
    const Passes passes = RunPasses(harness, seed);
    if (harness.barrier().tier() != BarrierTier::kUserfaultUserOnly) return 2;
    store.Stop();
    read.Stop();
    if (store.lost() + read.lost() != 0) return 3;
    if (read.failed() != 0) return 4;
    return passes.done > 10 ? 0 : 5;
  });
  if (status == kSkipped) GTEST_SKIP();
  EXPECT_EQ(status, 0);
}

}  // namespace
}  // namespace mesh
