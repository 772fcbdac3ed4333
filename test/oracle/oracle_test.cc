// The oracle: random operations against a shadow model, in one thread and in several, with objects
// freed by other threads than made them, with and without compaction at the same time.
//
// MESH_TEST_SEED repeats a run (as far as threads let it), MESH_TEST_MS makes it longer.
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <random>
#include <thread>
#include <vector>

#include "src/runtime/heap.h"
#include "src/runtime/runtime.h"
#include "test/oracle/shadow_model.h"

namespace mesh {
namespace {

using Clock = std::chrono::steady_clock;

uint64_t NumberFrom(const char* variable, uint64_t otherwise) {
  const char* text = getenv(variable);
  return text != nullptr ? strtoull(text, nullptr, 10) : otherwise;
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

class Oracle : public testing::TestWithParam<bool> {
 protected:
  Oracle() : seed_(NumberFrom("MESH_TEST_SEED", std::random_device()())) {
    Runtime& runtime = Runtime::Get();
    if (runtime.options().barrier() == BarrierChoice::kSegv) {
      // These threads lend no memory of this heap to the kernel: all of it is published, so to say.
      runtime.global().barrier().buffers().Enable();
    }
    printf("MESH_TEST_SEED=%llu\n", static_cast<unsigned long long>(seed_));
    fflush(stdout);
  }

  static bool compacts() { return GetParam(); }
  static Clock::time_point End() {
    return Clock::now() + std::chrono::milliseconds(NumberFrom("MESH_TEST_MS", 1000));
  }

  // Steps until `end`; objects go to and come from the mailboxes, if there are any.
  void Play(size_t index, std::vector<Mailbox>& mailboxes, size_t max_objects,
            Clock::time_point end) {
    std::mt19937 generator(static_cast<uint32_t>(seed_ + index));
    ShadowModel::Draw draw = [&](uint32_t bound) {
      return static_cast<uint32_t>(generator() % bound);
    };
    ShadowModel model("oracle", seed_ + index, max_objects);
    for (uint64_t step = 0; Clock::now() < end; step++) {
      for (int i = 0; i < 100; i++) model.Step(draw);
      if (mailboxes.size() > 1) {
        for (int i = 0; i < 10; i++) {
          ShadowModel::Object object;
          size_t to =
              (index + 1 + draw(static_cast<uint32_t>(mailboxes.size() - 1))) % mailboxes.size();
          if (model.Take(draw, &object)) mailboxes[to].Post(object);
        }
        for (const auto& object : mailboxes[index].Collect()) model.Put(object);
      }
      if (step % 64 == 0) model.CheckAll();
    }
    model.FreeAll();
  }

  // Nothing is left but what threads keep for the next time.
  static void CheckEmpty(Statistics* statistics) {
    Runtime& runtime = Runtime::Get();
    runtime.Compact();
    for (SizeClassHeap& heap : runtime.global().size_class_heaps()) {
      heap.CheckInvariants();
      EXPECT_EQ(heap.statistics().in_use, 0u) << "class " << int{heap.size_class()};
      EXPECT_EQ(heap.statistics().spans, 0u) << "class " << int{heap.size_class()};
    }
    runtime.global().arena().CheckInvariants();
    EXPECT_EQ(runtime.global().backing().bytes_in_use(), 0u);
    runtime.Collect(statistics);
    EXPECT_EQ(statistics->live_bytes, 0u);
    EXPECT_EQ(statistics->large_count, 0u);
  }

  uint64_t seed_;
};

TEST_P(Oracle, OneThread) {
  std::vector<Mailbox> none;
  Clock::time_point end = End();
  std::mt19937 generator(static_cast<uint32_t>(seed_));
  ShadowModel::Draw draw = [&](uint32_t bound) {
    return static_cast<uint32_t>(generator() % bound);
  };
  ShadowModel model("oracle", seed_, 20000);
  for (uint64_t step = 1; Clock::now() < end; step++) {
    for (int i = 0; i < 1000; i++) model.Step(draw);
    if (step % 20 != 0) continue;
    if (compacts()) Runtime::Get().Compact();
    model.CheckAll();
    if (step % 100 == 0) model.RewriteAll();
  }
  model.FreeAll();
  Statistics statistics;
  CheckEmpty(&statistics);
}

TEST_P(Oracle, FourThreadsThatFreeEachOthersObjects) {
  constexpr size_t kThreads = 4;
  std::vector<Mailbox> mailboxes(kThreads);
  Clock::time_point end = End();
  std::vector<std::thread> threads;
  std::atomic<bool> is_over = false;
  for (size_t i = 0; i < kThreads; i++) {
    threads.emplace_back([&, i] { Play(i, mailboxes, 4000, end); });
  }
  std::thread compactor([&] {
    while (compacts() && !is_over) {
      Runtime::Get().Compact();
      Statistics while_running;
      Runtime::Get().Collect(&while_running);
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
  });
  for (std::thread& thread : threads) thread.join();
  is_over = true;
  compactor.join();
  for (Mailbox& mailbox : mailboxes) {
    for (const ShadowModel::Object& object : mailbox.Collect()) Free(object.address);
  }
  Statistics statistics;
  CheckEmpty(&statistics);
  EXPECT_TRUE(!compacts() || statistics.mesh_count > 0);
}

INSTANTIATE_TEST_SUITE_P(Compaction, Oracle, testing::Bool(),
                         [](const auto& info) { return info.param ? "Compacting" : "Plain"; });

}  // namespace
}  // namespace mesh
