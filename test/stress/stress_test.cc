// Everything at once: threads that allocate, store and free each other's objects, threads that come
// and go, signals that allocate nothing but store to heap memory, forks whose children work on, new
// programs started from them, and compaction all the while. Every byte is checked against the
// shadow model.
//
// MESH_STRESS_SECONDS (2) is the length of each test, MESH_TEST_SEED repeats one as far as threads
// let it; the seed is printed. There are no forks under a sanitizer that does not follow the
// children of threaded processes.
#include <gtest/gtest.h>
#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <random>
#include <thread>
#include <vector>

#include "src/base/sanitizer.h"
#include "src/runtime/heap.h"
#include "src/runtime/hooks.h"
#include "src/runtime/runtime.h"
#include "test/oracle/lost_descriptors.h"
#include "test/oracle/shadow_model.h"

namespace mesh {
namespace {

using Clock = std::chrono::steady_clock;

constexpr size_t kThreads = 4;
constexpr size_t kObjects = 3000;
constexpr size_t kLargest = size_t{1} << 20;
// Bytes of the object that the signal handler counts in: one that is meshed.
constexpr size_t kCounterBytes = 48;

uint64_t NumberFrom(const char* variable, uint64_t otherwise) {
  const char* text = getenv(variable);
  return text != nullptr ? strtoull(text, nullptr, 10) : otherwise;
}

// A count in heap memory, raised by this thread's signal handler alone.
__thread volatile uint64_t* signal_count = nullptr;
__thread uint64_t signals_seen = 0;

void CountSignal(int) {
  if (signal_count == nullptr) return;
  for (size_t i = 0; i < kCounterBytes / sizeof(uint64_t); i++)
    signal_count[i] = signal_count[i] + 1;
  signals_seen = signals_seen + 1;
}

// Objects on their way from one thread to another.
class Mailbox {
 public:
  void Post(const ShadowModel::Object& object) {
    std::lock_guard lock(mutex_);
    objects_.push_back(object);
  }
  std::vector<ShadowModel::Object> Collect() {
    std::lock_guard lock(mutex_);
    return std::exchange(objects_, {});
  }

 private:
  std::mutex mutex_;
  std::vector<ShadowModel::Object> objects_;
};

class Stress : public testing::Test {
 protected:
  Stress() : seed_(NumberFrom("MESH_TEST_SEED", std::random_device()())) {
    Runtime& runtime = Runtime::Get();
    runtime.set_period_ms(1);
    BarrierChoice choice = runtime.options().barrier();
    if (choice == BarrierChoice::kSegv || choice == BarrierChoice::kUserfaultUser) {
      // These threads lend no memory of this heap to the kernel: all of it is published, so to say.
      runtime.global().barrier().buffers().Enable();
    }
    printf("MESH_TEST_SEED=%llu\n", static_cast<unsigned long long>(seed_));
    fflush(stdout);
    end_ = Clock::now() + std::chrono::seconds(NumberFrom("MESH_STRESS_SECONDS", 2));
    struct sigaction action = {};
    action.sa_handler = CountSignal;
    action.sa_flags = SA_RESTART;
    sigaction(SIGUSR1, &action, nullptr);
  }

  bool is_over() const { return Clock::now() >= end_; }

  // A thread's life: it ends after a while with objects of its own in other threads' hands.
  void Live(size_t index, uint64_t life, ShadowModel& model) {
    auto* counter = static_cast<uint64_t*>(Calloc(kCounterBytes));
    signals_seen = 0;
    signal_count = counter;
    std::mt19937 generator(static_cast<uint32_t>(seed_ + 1000 * index + life));
    ShadowModel::Draw draw = [&](uint32_t bound) {
      return static_cast<uint32_t>(generator() % bound);
    };
    for (int round = 0; round < 30 && !is_over(); round++) {
      for (int i = 0; i < 100; i++) model.Step(draw);
      HandOver(index, draw, model);
      if (round % 10 == 0) model.CheckAll();
      if (round % 10 == 5) std::this_thread::sleep_for(std::chrono::microseconds(200));
    }
    steps_ += 3000;
    signal_count = nullptr;
    for (size_t i = 0; i < kCounterBytes / sizeof(uint64_t); i++) {
      if (counter[i] != signals_seen) lost_signals_ = true;
    }
    signals_ += signals_seen;
    Free(counter);
  }

  void HandOver(size_t index, const ShadowModel::Draw& draw, ShadowModel& model) {
    for (int i = 0; i < 10; i++) {
      ShadowModel::Object object;
      size_t to = (index + 1 + draw(kThreads - 1)) % kThreads;
      if (model.Take(draw, &object)) mailboxes_[to].Post(object);
    }
    for (const auto& object : mailboxes_[index].Collect()) model.Put(object);
  }

  // One thread after the other, on the same model.
  void Generations(size_t index) {
    ShadowModel model("stress", seed_ + index, kObjects);
    model.set_largest(kLargest);
    for (uint64_t life = 0; !is_over(); life++) {
      std::thread thread([&] { Live(index, life, model); });
      Send(thread);
      thread.join();
    }
    model.CheckAll();
    model.FreeAll();
  }

  // Signals for a thread that lives.
  void Send(std::thread& thread) {
    for (int i = 0; i < 20 && !is_over(); i++) {
      pthread_kill(thread.native_handle(), SIGUSR1);
      std::this_thread::sleep_for(std::chrono::microseconds(300));
    }
  }

  // As libmesh's fork(). The child has this thread's objects, and works on; every other one becomes
  // another program.
  void ForkOnce(ShadowModel& model, const ShadowModel::Draw& draw) {
    ForkPermit permit = BeforeFork();
    ASSERT_NE(permit, ForkPermit::kRefused);
    pid_t child = fork();
    if (child == 0) {
      model.CheckAll();
      for (int i = 0; i < 200; i++) model.Step(draw);
      Runtime::Get().Compact();
      model.RewriteAll();
      model.CheckAll();
      if (forks_ % 2 == 0) _exit(0);
      execl("/bin/true", "true", nullptr);
      _exit(1);
    }
    AfterFork(permit);
    model.RewriteAll();
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    ASSERT_EQ(status, 0);
    model.CheckAll();
    forks_++;
  }

  // The main thread compacts, forks, spawns and looks at the statistics.
  void Disturb() {
    std::mt19937 generator(static_cast<uint32_t>(seed_));
    ShadowModel::Draw draw = [&](uint32_t bound) {
      return static_cast<uint32_t>(generator() % bound);
    };
    ShadowModel model("stress, main thread", seed_, kObjects);
    model.set_largest(kLargest);
    auto statistics = std::make_unique<Statistics>();
    while (!is_over() && !HasFailure()) {
      for (int i = 0; i < 200; i++) model.Step(draw);
      Runtime::Get().Compact();
      if (draw(4) == 0) Runtime::Get().Collect(statistics.get());
      if (draw(4) == 0) Runtime::Get().global().Scavenge();
      if (draw(16) == 0) LoseDescriptors(Runtime::Get().global());
      if (kFollowsForks && draw(4) == 0) ForkOnce(model, draw);
      model.CheckAll();
    }
    model.FreeAll();
  }

  void CheckEmpty() {
    for (Mailbox& mailbox : mailboxes_) {
      for (const auto& object : mailbox.Collect()) Free(object.address);
    }
    Runtime& runtime = Runtime::Get();
    runtime.Compact();
    for (SizeClassHeap& heap : runtime.global().size_class_heaps()) {
      heap.CheckInvariants();
      EXPECT_EQ(heap.statistics().in_use, 0u) << "class " << int{heap.size_class()};
    }
    runtime.global().arena().CheckInvariants();
    EXPECT_EQ(runtime.global().large_count(), 0u);
  }

  uint64_t seed_;
  Clock::time_point end_;
  Mailbox mailboxes_[kThreads];
  std::atomic<uint64_t> steps_ = 0;
  std::atomic<uint64_t> signals_ = 0;
  std::atomic<bool> lost_signals_ = false;
  uint64_t forks_ = 0;
};

TEST_F(Stress, EverythingAtOnce) {
  std::vector<std::thread> threads;
  for (size_t i = 0; i < kThreads; i++) threads.emplace_back([this, i] { Generations(i); });
  Disturb();
  for (std::thread& thread : threads) thread.join();
  EXPECT_FALSE(lost_signals_) << "a handler's store is lost";
  CheckEmpty();
  Statistics statistics;
  Runtime::Get().Collect(&statistics);
  // The last tier refuses while any thread blocks SIGSEGV, as ThreadSanitizer's own does.
  bool can_mesh = !kThreadSanitizer || Runtime::Get().options().barrier() != BarrierChoice::kSegv;
  EXPECT_TRUE(!can_mesh || statistics.mesh_count > 0);
  printf("%llu steps, %llu signals, %llu forks, %llu spans meshed; barrier: %s\n",
         static_cast<unsigned long long>(steps_), static_cast<unsigned long long>(signals_),
         static_cast<unsigned long long>(forks_),
         static_cast<unsigned long long>(statistics.mesh_count), statistics.barrier_tier);
}

}  // namespace
}  // namespace mesh
