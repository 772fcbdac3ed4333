// Tests of SyscallBuffers: what overlaps when, nesting, overflow, and the agreement of publisher
// and mesher under load.
#include "src/meshing/published.h"

#include <gtest/gtest.h>
#include <pthread.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <memory>
#include <set>
#include <vector>

#include "src/base/random.h"
#include "src/os/process.h"
#include "test/meshing/barrier_workers.h"
#include "test/os/fault_injector.h"

namespace mesh {
namespace {

constexpr Range kPage = {0x10000, 0x1000};
constexpr Range kInside = {0x10ff8, 16};
constexpr Range kNext = {0x11000, 8};
constexpr Range kNothing = {0x10010, 0};

class Published : public testing::Test {
 protected:
  Published() { buffers_.Enable(); }
  ~Published() override { buffers_.Release(record_); }
  SyscallBuffers buffers_;
  SyscallBuffers::Record* record_ = buffers_.Acquire();
};

TEST_F(Published, OverlapsWhileLent) {
  EXPECT_FALSE(buffers_.Overlaps(kPage));
  {
    PublishedBuffers published(buffers_, record_, {&kInside, 1});
    EXPECT_TRUE(buffers_.Overlaps(kPage));
    EXPECT_TRUE(buffers_.Overlaps(kNext));  // it ends there
    EXPECT_FALSE(buffers_.Overlaps({0x12000, 0x1000}));
  }
  EXPECT_FALSE(buffers_.Overlaps(kPage));
  PublishedBuffers empty(buffers_, record_, {&kNothing, 1});
  EXPECT_FALSE(buffers_.Overlaps(kPage));
}

TEST_F(Published, HandlersNest) {
  const uint32_t outer = buffers_.Publish(record_, {&kInside, 1});
  const Range both[] = {{0x20000, 8}, {0x30000, 8}};
  const uint32_t inner = buffers_.Publish(record_, both);
  EXPECT_TRUE(buffers_.Overlaps({0x30000, 8}));
  EXPECT_TRUE(buffers_.Overlaps(kPage));
  buffers_.Withdraw(record_, inner);
  EXPECT_FALSE(buffers_.Overlaps({0x20000, 8}));
  EXPECT_TRUE(buffers_.Overlaps(kPage));
  buffers_.Withdraw(record_, outer);
  EXPECT_FALSE(buffers_.Overlaps(kPage));
}

TEST_F(Published, TooManyAreAllMemory) {
  const std::vector<Range> many(SyscallBuffers::kMaxBuffers + 1, Range{0x90000, 8});
  const uint32_t first = buffers_.Publish(record_, {&kInside, 1});
  const uint32_t second = buffers_.Publish(record_, many);
  EXPECT_TRUE(buffers_.Overlaps({0x50000, 8}));
  const uint32_t third = buffers_.Publish(record_, {&kInside, 1});
  EXPECT_TRUE(buffers_.Overlaps({0x50000, 8}));
  buffers_.Withdraw(record_, third);
  buffers_.Withdraw(record_, second);
  EXPECT_FALSE(buffers_.Overlaps({0x50000, 8}));
  EXPECT_TRUE(buffers_.Overlaps(kPage));
  buffers_.Withdraw(record_, first);
}

TEST_F(Published, WithoutARecordAllMemoryIsLent) {
  os::FaultInjector injector;
  injector.Refuse(os::Call::kMapAnonymous, ENOMEM);
  SyscallBuffers poor;
  SyscallBuffers::Record* none = poor.Acquire();
  EXPECT_EQ(none, nullptr);
  const uint32_t token = poor.Publish(none, {&kInside, 1});
  EXPECT_TRUE(poor.Overlaps({0x50000, 8}));
  poor.Withdraw(none, token);
  EXPECT_FALSE(poor.Overlaps({0x50000, 8}));
  poor.Release(none);
}

TEST_F(Published, StandingLoansLastUntilTheyEnd) {
  ASSERT_TRUE(buffers_.LendStanding(kInside));
  EXPECT_TRUE(buffers_.Overlaps(kPage));
  buffers_.AfterForkInChild(record_);
  EXPECT_TRUE(buffers_.Overlaps(kNext)) << "a child has them too";
  buffers_.EndStanding(kPage.address);
  EXPECT_TRUE(buffers_.Overlaps(kPage)) << "none begins there";
  buffers_.EndStanding(kInside.address);
  EXPECT_FALSE(buffers_.Overlaps(kPage));
}

TEST_F(Published, WhatIsPinnedIsLentAsWell) {
  ASSERT_TRUE(buffers_.LendStanding(kInside));
  EXPECT_FALSE(buffers_.HasPinned());
  EXPECT_FALSE(buffers_.IsPinned(kPage)) << "only lent";
  buffers_.EndStanding(kInside.address);
  ASSERT_TRUE(buffers_.LendStanding(kInside, SyscallBuffers::Standing::kPinned));
  EXPECT_TRUE(buffers_.HasPinned());
  EXPECT_TRUE(buffers_.IsPinned(kPage));
  EXPECT_TRUE(buffers_.Overlaps(kPage));
  buffers_.EndStanding(kInside.address);
  EXPECT_FALSE(buffers_.HasPinned());
  EXPECT_FALSE(buffers_.IsPinned(kPage));
}

TEST_F(Published, StandingLoansAreLimited) {
  for (uint32_t i = 0; i < SyscallBuffers::kMaxStanding; i++) {
    EXPECT_TRUE(buffers_.LendStanding({0x20000 + i * size_t{16}, 16}));
  }
  EXPECT_FALSE(buffers_.LendStanding(kInside));
  buffers_.EndStanding(0x20000 + 16);
  EXPECT_TRUE(buffers_.LendStanding(kInside));
  EXPECT_TRUE(buffers_.Overlaps(kPage));
}

TEST_F(Published, RecordsAreDistinctAndReused) {
  std::set<SyscallBuffers::Record*> seen = {record_};
  for (int i = 0; i < 100; i++) seen.insert(buffers_.Acquire());
  EXPECT_EQ(seen.size(), 101u);
  SyscallBuffers::Record* one = *seen.rbegin();
  buffers_.Publish(one, {&kInside, 1});
  buffers_.Release(one);  // the thread died in its call
  EXPECT_FALSE(buffers_.Overlaps(kPage));
  for (SyscallBuffers::Record* record : seen) buffers_.Release(record);
  for (int i = 0; i < 101; i++) EXPECT_NE(buffers_.Acquire(), nullptr);
  EXPECT_FALSE(buffers_.Overlaps(kPage));
  record_ = nullptr;
}

TEST_F(Published, ForkKeepsTheCallersRecordAlone) {
  SyscallBuffers::Record* other = buffers_.Acquire();
  buffers_.Publish(record_, {&kInside, 1});
  buffers_.Publish(other, {&kNext, 1});
  buffers_.Publish(nullptr, {&kNext, 1});
  ASSERT_TRUE(buffers_.Close(0, 1));
  buffers_.Disable();
  buffers_.AfterForkInChild(record_);
  EXPECT_TRUE(buffers_.enabled());
  EXPECT_TRUE(buffers_.Overlaps(kInside));
  EXPECT_FALSE(buffers_.Overlaps({0x11008, 8}));
  ASSERT_TRUE(buffers_.Close(0, 1));
  buffers_.Open();
}

TEST(Publishing, IsOffUntilTheFrontPublishes) {
  SyscallBuffers buffers;
  EXPECT_FALSE(buffers.enabled());
  buffers.AfterForkInChild(nullptr);
  EXPECT_FALSE(buffers.enabled());
  buffers.Enable();
  EXPECT_TRUE(buffers.enabled());
}

TEST_F(Published, ForkWithoutARecordKeepsThemAllEmpty) {
  buffers_.Publish(record_, {&kInside, 1});
  buffers_.AfterForkInChild(nullptr);
  EXPECT_FALSE(buffers_.Overlaps(kInside));
  EXPECT_NE(buffers_.Acquire(), record_);
}

TEST_F(Published, DisabledCostsNothing) {
  buffers_.Disable();
  PublishedBuffers published(buffers_, record_, {&kInside, 1});
  EXPECT_FALSE(buffers_.Overlaps(kPage));
}

TEST_F(Published, MembarrierInheritedAndRefused) {
  if (!buffers_.UseMembarrier()) GTEST_SKIP();
  EXPECT_EQ(InChild([&] { return buffers_.Close(0, 1) ? 0 : 1; }), 0);
  os::FaultInjector injector;
  injector.Refuse(os::Call::kMembarrier, EPERM);
  EXPECT_FALSE(buffers_.Close(0, 1));
  EXPECT_TRUE(buffers_.Close(0, 1));  // it was left open
  buffers_.Open();
  SyscallBuffers other;
  injector.Refuse(os::Call::kMembarrier, ENOSYS);
  EXPECT_FALSE(other.UseMembarrier());
}

// Publishers lend one of a few pages and mark it "in the kernel"; the mesher closes, and marks what
// does not overlap "protected". Both marks on one page at one time is what must never be.
class Agreement : public testing::TestWithParam<bool> {
 protected:
  static constexpr size_t kPages = 8;
  static constexpr uintptr_t kBase = 0x100000;

  static Range Page(size_t i) { return {kBase + i * 0x1000, 0x1000}; }

  struct Publisher {
    Agreement* test;
    uint64_t seed;
    pthread_t thread;
  };

  static void* Publish(void* argument) {
    auto* self = static_cast<Publisher*>(argument);
    Agreement& test = *self->test;
    Random random(self->seed);
    SyscallBuffers::Record* record = test.buffers_.Acquire();
    while (!test.stop_) {
      const size_t i = random.Below(kPages);
      const Range buffer = {Page(i).address + 64, 64};
      PublishedBuffers published(test.buffers_, record, {&buffer, 1});
      if (test.protected_[i]) test.clashes_++;
      test.published_++;
    }
    test.buffers_.Release(record);
    return nullptr;
  }

  Agreement() { buffers_.Enable(); }

  SyscallBuffers buffers_;
  std::atomic<bool> protected_[kPages] = {};
  std::atomic<bool> stop_{false};
  std::atomic<uint64_t> clashes_{0};
  std::atomic<uint64_t> published_{0};
};

TEST_P(Agreement, NoCallEntersAProtectedPage) {
  if (GetParam() && !buffers_.UseMembarrier()) GTEST_SKIP();
  const uint64_t seed = Seed();
  Publisher publishers[3] = {{this, seed, {}}, {this, seed + 1, {}}, {this, seed + 2, {}}};
  for (auto& p : publishers) ASSERT_EQ(pthread_create(&p.thread, nullptr, &Publish, &p), 0);
  uint64_t passes = 0;
  uint64_t taken = 0;
  const uint64_t end = os::MonotonicNs() + kRunNs;
  while (os::MonotonicNs() < end) {
    ASSERT_TRUE(buffers_.Close(Page(2).address, Page(6).address));
    for (size_t i = 2; i < 6; i++) {
      if (buffers_.Overlaps(Page(i))) continue;
      protected_[i] = true;
      taken++;
    }
    for (int i = 0; i < 50; i++) sched_yield();
    for (size_t i = 2; i < 6; i++) protected_[i] = false;
    buffers_.Open();
    passes++;
    usleep(50);
  }
  stop_ = true;
  for (auto& p : publishers) pthread_join(p.thread, nullptr);
  EXPECT_EQ(clashes_, 0u);
  EXPECT_GT(taken, 0u);
  EXPECT_GT(published_, passes);
}

INSTANTIATE_TEST_SUITE_P(Barriers, Agreement, testing::Bool(),
                         [](const auto& info) { return info.param ? "Membarrier" : "Fences"; });

}  // namespace
}  // namespace mesh
