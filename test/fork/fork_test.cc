// Tests of fork with a meshed heap and threads that write to it all the while, through the handlers
// that Runtime registers: parent and child keep what they had, and live apart from then on.
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdio>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "src/runtime/heap.h"
#include "src/runtime/runtime.h"
#include "test/oracle/shadow_model.h"
#include "test/os/fault_injector.h"

namespace mesh {
namespace {

using os::Call;
using os::FaultInjector;

// An object whose words all count the same: its thread reads them all, then writes them all.
class Counter {
 public:
  explicit Counter(size_t size)
      : words_(static_cast<uint64_t*>(Malloc(size))), count_(size / sizeof(uint64_t)) {
    for (size_t i = 0; i < count_; i++) words_[i] = 0;
  }
  void Destroy() { Free(words_); }

  // False when a store got lost.
  bool Next() {
    volatile uint64_t* words = words_;
    for (size_t i = 0; i < count_; i++) {
      if (words[i] != value_) return false;
    }
    value_++;
    for (size_t i = 0; i < count_; i++) words[i] = value_;
    return true;
  }

  // What a snapshot may show: new words up to some place, and old ones from there.
  bool IsSnapshot() const {
    for (size_t i = 1; i < count_; i++) {
      bool steps = words_[i] + 1 == words_[i - 1];
      if (words_[i] != words_[0] && words_[i] + 1 != words_[0]) return false;
      if (!steps && words_[i] != words_[i - 1]) return false;
    }
    return true;
  }

  void Fill(uint64_t value) {
    for (size_t i = 0; i < count_; i++) words_[i] = value;
  }
  bool Holds(uint64_t value) const {
    for (size_t i = 0; i < count_; i++) {
      if (words_[i] != value) return false;
    }
    return true;
  }

 private:
  uint64_t* words_;
  size_t count_;
  uint64_t value_ = 0;
};

// Sparse spans of several classes: one object of eight stays.
std::vector<Counter> MakeSparse(size_t objects) {
  std::vector<Counter> kept;
  std::vector<Counter> freed;
  for (size_t i = 0; i < objects * 8; i++) {
    Counter counter(size_t{16} << (i % 7));
    (i / 7 % 8 == 0 ? kept : freed).push_back(counter);
  }
  for (Counter& counter : freed) counter.Destroy();
  return kept;
}

// Threads that write to objects of their own until they are told to end.
class Writers {
 public:
  Writers(size_t threads, size_t objects_each) {
    for (size_t i = 0; i < threads; i++) counters_.push_back(MakeSparse(objects_each));
    for (size_t i = 0; i < threads; i++) threads_.emplace_back([this, i] { Write(counters_[i]); });
    // All run: one that is being made blocks all signals, which the last tier does not like.
    while (running_ < threads) std::this_thread::yield();
  }
  ~Writers() {
    is_over_ = true;
    for (std::thread& thread : threads_) thread.join();
    for (auto& counters : counters_) {
      for (Counter& counter : counters) counter.Destroy();
    }
  }

  bool is_right() const { return !has_lost_; }
  // In a child: the threads are not here, their objects are.
  std::vector<std::vector<Counter>>& counters() { return counters_; }
  uint64_t rounds() const { return rounds_; }

 private:
  void Write(std::vector<Counter>& counters) {
    running_++;
    while (!is_over_) {
      for (Counter& counter : counters) {
        if (!counter.Next()) has_lost_ = true;
      }
      rounds_++;
    }
  }

  std::vector<std::vector<Counter>> counters_;
  std::vector<std::thread> threads_;
  std::atomic<bool> is_over_ = false;
  std::atomic<bool> has_lost_ = false;
  std::atomic<size_t> running_ = 0;
  std::atomic<uint64_t> rounds_ = 0;
};

[[noreturn]] void Fail(const char* what) {
  fprintf(stderr, "process %d: %s\n", getpid(), what);
  _exit(1);
}

void CheckHeap() {
  Runtime& runtime = Runtime::Get();
  for (SizeClassHeap& heap : runtime.global().size_class_heaps()) heap.CheckInvariants();
  runtime.global().arena().CheckInvariants();
}

bool EndsWell(pid_t child) {
  int status = 0;
  if (waitpid(child, &status, 0) != child) return false;
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

// A child's life: its snapshot is whole, it writes, meshes, forks a child of its own.
[[noreturn]] void LiveAsChild(std::vector<std::vector<Counter>>& all, ShadowModel& model,
                              uint64_t stamp, int generations) {
  for (auto& counters : all) {
    for (Counter& counter : counters) {
      if (!counter.IsSnapshot()) Fail("the snapshot is torn");
    }
  }
  model.CheckAll();
  CheckHeap();
  for (auto& counters : all) {
    for (Counter& counter : counters) counter.Fill(stamp);
  }
  std::mt19937 generator(static_cast<uint32_t>(stamp));
  for (int round = 0; round < 3; round++) {
    for (int i = 0; i < 300; i++) {
      model.Step([&](uint32_t bound) { return static_cast<uint32_t>(generator() % bound); });
    }
    Runtime::Get().Compact();
    CheckHeap();
    model.RewriteAll();
  }
  if (generations > 0) {
    pid_t grandchild = fork();
    // What the child wrote to them counts as one value: a snapshot.
    if (grandchild == 0) LiveAsChild(all, model, stamp + 1000, generations - 1);
    if (!EndsWell(grandchild)) Fail("the child's child failed");
  }
  for (auto& counters : all) {
    for (Counter& counter : counters) {
      if (!counter.Holds(stamp)) Fail("a child's store got lost");
      counter.Destroy();
    }
  }
  model.FreeAll();
  Runtime::Get().Compact();
  CheckHeap();
  _exit(0);
}

class LastTier : public testing::Environment {
 public:
  void SetUp() override {
    if (Runtime::Get().options().barrier() != BarrierChoice::kSegv) return;
    // These threads lend no memory of this heap to the kernel: all of it is published, so to say.
    Runtime::Get().global().barrier().buffers().Enable();
  }
};
const auto* const last_tier = testing::AddGlobalTestEnvironment(new LastTier);

// How meshed spans show the backing.
enum class Views {
  kPrivate,  // privately from the start: a fork finds nothing to do
  kShared,   // made private before each fork
  kCopied,   // without a memory file: copied back before each fork
};

class ForkTest : public testing::TestWithParam<Views> {
 protected:
  ForkTest() {
    GlobalHeap& global = Runtime::Get().global();
    global.backing().set_private_views(GetParam() == Views::kPrivate);
    // The last test's file is not used again.
    global.backing().GiveUpDescriptor();
    if (GetParam() == Views::kCopied) {
      injector_.Refuse(Call::kMemoryFile, EPERM, 1, FaultInjector::kForever);
    }
    std::mt19937 generator(1);
    for (int i = 0; i < 20000; i++) {
      model_.Step([&](uint32_t bound) { return static_cast<uint32_t>(generator() % bound); });
    }
  }
  ~ForkTest() override {
    model_.FreeAll();
    Runtime::Get().Compact();
    CheckHeap();
    GlobalHeap& global = Runtime::Get().global();
    for (SizeClassHeap& heap : global.size_class_heaps()) {
      EXPECT_EQ(heap.statistics().in_use, 0u) << "class " << int{heap.size_class()};
    }
    EXPECT_EQ(global.backing().bytes_in_use(), 0u);
    EXPECT_EQ(global.backing().retired_bytes(), 0u);
  }

  FaultInjector injector_;
  ShadowModel model_{"fork", 1, 3000};
};

TEST_P(ForkTest, ParentAndChildKeepWhatTheyHad) {
  for (int round = 0; round < 4; round++) {
    Writers writers(2, 200);
    Runtime::Get().Compact();
    EXPECT_GT(Runtime::Get().global().backing().bytes_in_use(), 0u);
    pid_t child = fork();
    if (child == 0) LiveAsChild(writers.counters(), model_, 1'000'000 + 10 * round, 1);
    // The parent writes, meshes and allocates while the child looks.
    model_.RewriteAll();
    Runtime::Get().Compact();
    model_.CheckAll();
    EXPECT_TRUE(EndsWell(child));
    EXPECT_TRUE(writers.is_right()) << "round " << round;
    CheckHeap();
    uint64_t rounds = writers.rounds();
    while (writers.rounds() < rounds + 10) std::this_thread::yield();
    EXPECT_TRUE(writers.is_right()) << "round " << round;
  }
}

TEST_P(ForkTest, ChildrenThatEndAtOnce) {
  Writers writers(2, 200);
  for (int round = 0; round < 40; round++) {
    if (round % 2 == 0) Runtime::Get().Compact();
    pid_t child = fork();
    if (child == 0) _exit(0);
    EXPECT_TRUE(EndsWell(child));
  }
  EXPECT_TRUE(writers.is_right());
}

// More forks, each with meshed spans before it, than frozen generations can be told apart.
TEST_P(ForkTest, ManyGenerations) {
  std::vector<std::vector<Counter>> all;
  for (int round = 0; round < 80; round++) {
    all.push_back(MakeSparse(70));
    for (Counter& counter : all.back()) counter.Fill(round);
    Runtime::Get().Compact();
    pid_t child = fork();
    if (child == 0) {
      for (int i = 0; i <= round; i++) {
        for (Counter& counter : all[i]) {
          if (!counter.Holds(i)) Fail("a child lost an old object");
        }
      }
      _exit(0);
    }
    EXPECT_TRUE(EndsWell(child));
  }
  for (int round = 0; round < 80; round++) {
    for (Counter& counter : all[round]) {
      ASSERT_TRUE(counter.Holds(round));
      counter.Destroy();
    }
  }
}

TEST_P(ForkTest, SeveralThreadsForkAtOnce) {
  Writers writers(1, 200);
  Runtime::Get().Compact();
  std::vector<std::thread> threads;
  std::atomic<int> failures = 0;
  for (int i = 0; i < 3; i++) {
    threads.emplace_back([&] {
      for (int round = 0; round < 10; round++) {
        void* object = Malloc(100);
        Runtime::Get().Compact();
        pid_t child = fork();
        if (child == 0) {
          Free(object);
          for (int k = 0; k < 100; k++) Free(Malloc(size_t{16} << (k % 10)));
          Runtime::Get().Compact();
          CheckHeap();
          _exit(0);
        }
        if (!EndsWell(child)) failures++;
        Free(object);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(failures, 0);
  EXPECT_TRUE(writers.is_right());
}

// What other threads hold in their vectors goes back in the child: their threads are not there.
TEST_P(ForkTest, TheChildHasOneThreadHeap) {
  Writers writers(3, 50);
  Runtime::Get().Compact();
  pid_t child = fork();
  if (child == 0) {
    if (Runtime::Get().registry().thread_count() != 1) Fail("thread heaps are left");
    _exit(0);
  }
  EXPECT_TRUE(EndsWell(child));
}

std::string NameOf(const testing::TestParamInfo<Views>& info) {
  constexpr const char* kNames[] = {"Private", "Shared", "Copied"};
  return kNames[static_cast<int>(info.param)];
}

INSTANTIATE_TEST_SUITE_P(Views, ForkTest,
                         testing::Values(Views::kPrivate, Views::kShared, Views::kCopied), NameOf);

// The kernel refuses to separate the memory: the child must not run, and the parent goes on.
TEST(ForkRefused, TheParentKeepsItsObjects) {
  Runtime::Get().global().backing().set_private_views(false);
  for (int64_t nth : {1, 2, 5, 20}) {
    FaultInjector injector;
    std::vector<Counter> counters = MakeSparse(500);
    for (Counter& counter : counters) counter.Fill(7);
    Runtime::Get().Compact();
    ASSERT_GT(Runtime::Get().global().backing().bytes_in_use(), 0u);
    injector.Refuse(Call::kMapFilePrivate, ENOMEM, nth, FaultInjector::kForever);
    injector.Refuse(Call::kMapAnonymous, ENOMEM, 1, FaultInjector::kForever);
    pid_t child = fork();
    if (child == 0) _exit(0);
    EXPECT_FALSE(EndsWell(child)) << "a child would write into its parent's memory";
    injector.Reset();
    CheckHeap();
    // What got a private view has pages of its own from here on; the next fork must not lose them.
    for (Counter& counter : counters) EXPECT_TRUE(counter.Holds(7));
    for (Counter& counter : counters) counter.Fill(9);
    child = fork();
    if (child == 0) {
      for (Counter& counter : counters) {
        if (!counter.Holds(9)) Fail("lost in the child of the second fork");
      }
      _exit(0);
    }
    EXPECT_TRUE(EndsWell(child));
    for (Counter& counter : counters) EXPECT_TRUE(counter.Holds(9));
    for (Counter& counter : counters) counter.Fill(7);
    // Half of the objects go, new ones take their places, all of it is meshed again.
    size_t half = counters.size() / 2;
    for (size_t i = half; i < counters.size(); i++) counters[i].Destroy();
    counters.erase(counters.begin() + static_cast<ptrdiff_t>(half), counters.end());
    std::vector<Counter> more = MakeSparse(500);
    for (Counter& counter : more) counter.Fill(8);
    Runtime::Get().Compact();
    CheckHeap();
    for (Counter& counter : counters) EXPECT_TRUE(counter.Holds(7));
    for (Counter& counter : more) EXPECT_TRUE(counter.Holds(8));
    child = fork();
    if (child == 0) {
      for (Counter& counter : counters) {
        if (!counter.Holds(7)) Fail("lost in the child of the next fork");
      }
      _exit(0);
    }
    EXPECT_TRUE(EndsWell(child));
    for (Counter& counter : counters) counter.Destroy();
    for (Counter& counter : more) counter.Destroy();
    Runtime::Get().Compact();
    CheckHeap();
    EXPECT_EQ(Runtime::Get().global().backing().bytes_in_use(), 0u) << "refused at " << nth;
  }
}

}  // namespace
}  // namespace mesh
