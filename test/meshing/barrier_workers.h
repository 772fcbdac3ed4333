// What the tests of the barrier share: worker threads that check every store, passes, children.
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <string>
#include <vector>

#include "src/base/random.h"
#include "src/meshing/barrier.h"
#include "src/os/process.h"
#include "src/os/signals.h"
#include "src/os/userfaultfd.h"
#include "test/meshing/barrier_harness.h"

namespace mesh {

inline constexpr uint64_t kRunNs = 700'000'000;  // length of each load test

inline uint64_t Seed() {
  const char* given = getenv("MESH_TEST_SEED");
  const uint64_t seed = given != nullptr ? strtoull(given, nullptr, 10) : os::RandomSeed();
  printf("MESH_TEST_SEED=%llu\n", static_cast<unsigned long long>(seed));
  return seed;
}

// Exit status of a forked child that ran `body`, or -signal.
inline int InChild(const std::function<int()>& body) {
  fflush(stdout);
  const pid_t child = fork();
  if (child == 0) {
    const int status = body();
    fflush(stdout);
    _exit(status);
  }
  int status = 0;
  EXPECT_EQ(waitpid(child, &status, 0), child);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

inline os::SignalMask CurrentMask() { return os::AddToSignalMask(0).value; }

inline bool TierIsThere(BarrierTier tier) {
  os::Userfaultfd probe;
  bool there = true;
  if (tier == BarrierTier::kUserfault) there = probe.Open(os::UserfaultMode::kFull).ok();
  if (tier == BarrierTier::kUserfaultUserOnly)
    there = probe.Open(os::UserfaultMode::kUserOnly).ok();
  probe.Close();
  return there;
}

// A tier's name as GoogleTest wants it.
inline std::string TestName(BarrierTier tier) {
  std::string name = BarrierTierName(tier);
  for (char& c : name) c = c == ' ' ? '_' : c;
  return name;
}

// A thread that works on slots of its own until it is told to stop.
class Worker {
 public:
  enum class Kind { kStore, kRead, kReadv, kPread };

  Worker(BarrierHarness& harness, Kind kind, size_t index, uint64_t seed)
      : harness_(harness), kind_(kind), index_(index), random_(seed) {
    EXPECT_EQ(pthread_create(&thread_, nullptr, &Run, this), 0);
  }
  ~Worker() { Stop(); }

  void Stop() {
    stop_ = true;
    if (!joined_) pthread_join(thread_, nullptr);
    joined_ = true;
  }

  uint64_t operations() const { return operations_; }
  uint64_t lost() const { return lost_; }
  uint64_t failed() const { return failed_; }

 private:
  static void* Run(void* self) {
    static_cast<Worker*>(self)->Work();
    return nullptr;
  }

  void Work() {
    record_ = harness_.buffers().Acquire();
    EXPECT_EQ(pipe2(pipe_, O_CLOEXEC), 0);
    file_ = memfd_create("barrier_test", MFD_CLOEXEC);
    std::vector<uint64_t> expected(2 * harness_.pairs());
    while (!stop_) {
      const size_t place = random_.Below(static_cast<uint32_t>(expected.size()));
      volatile uint64_t* slot = harness_.live_slot(place / 2, place % 2, index_);
      if (*slot != expected[place]) lost_++;
      const uint64_t value = random_.Next();
      const bool stored = kind_ == Kind::kStore || StoreByKernel(slot, value);
      if (kind_ == Kind::kStore) *slot = value;
      if (!stored) failed_++;
      expected[place] = stored ? value : *slot;
      operations_++;
    }
    for (size_t place = 0; place < expected.size(); place++) {
      if (*harness_.live_slot(place / 2, place % 2, index_) != expected[place]) lost_++;
    }
    harness_.buffers().Release(record_);
    close(pipe_[0]);
    close(pipe_[1]);
    close(file_);
  }

  // Has a system call put `value` into the slot, as the interposed libc function would.
  bool StoreByKernel(volatile uint64_t* slot, uint64_t value) {
    constexpr ssize_t kSize = sizeof(value);
    void* target = const_cast<uint64_t*>(slot);
    const Range buffer = {reinterpret_cast<uintptr_t>(target), sizeof(value)};
    if (kind_ == Kind::kPread) {
      if (pwrite(file_, &value, kSize, 0) != kSize) return false;
      PublishedBuffers published(harness_.buffers(), record_, {&buffer, 1});
      return pread(file_, target, kSize, 0) == kSize;
    }
    if (write(pipe_[1], &value, kSize) != kSize) return false;
    PublishedBuffers published(harness_.buffers(), record_, {&buffer, 1});
    if (kind_ == Kind::kRead) return read(pipe_[0], target, kSize) == kSize;
    struct iovec halves[2] = {{target, 3}, {static_cast<char*>(target) + 3, 5}};
    return readv(pipe_[0], halves, 2) == kSize;
  }

  BarrierHarness& harness_;
  const Kind kind_;
  const size_t index_;
  Random random_;
  SyscallBuffers::Record* record_ = nullptr;
  int pipe_[2] = {-1, -1};
  int file_ = -1;
  std::atomic<bool> stop_{false};
  bool joined_ = false;
  std::atomic<uint64_t> operations_{0};
  std::atomic<uint64_t> lost_{0};
  std::atomic<uint64_t> failed_{0};
  pthread_t thread_;
};

struct Passes {
  size_t done = 0;
  size_t refused = 0;
};

// Meshes and unmeshes random runs of pairs for a while.
inline Passes RunPasses(BarrierHarness& harness, uint64_t seed) {
  Random random(seed);
  Passes passes;
  const uint64_t end = os::MonotonicNs() + kRunNs;
  while (os::MonotonicNs() < end) {
    const size_t first = random.Below(static_cast<uint32_t>(harness.pairs()));
    const size_t count = 1 + random.Below(static_cast<uint32_t>(harness.pairs() - first));
    const bool done =
        random.Below(2) == 0 ? harness.Mesh(first, count) : harness.Unmesh(first, count);
    (done ? passes.done : passes.refused)++;
    if (!done) usleep(100);
  }
  return passes;
}

// A thread that sleeps until the scope ends.
class Sleeper {
 public:
  Sleeper() {
    EXPECT_EQ(pipe(pipe_), 0);
    EXPECT_EQ(pthread_create(&thread_, nullptr, &Run, this), 0);
    // Until then it blocks all signals: pthread_create does.
    while (!running_) usleep(100);
  }
  ~Sleeper() {
    close(pipe_[1]);
    pthread_join(thread_, nullptr);
    close(pipe_[0]);
  }

 private:
  static void* Run(void* self) {
    auto* sleeper = static_cast<Sleeper*>(self);
    sleeper->running_ = true;
    char byte;
    return reinterpret_cast<void*>(read(sleeper->pipe_[0], &byte, 1));
  }
  std::atomic<bool> running_{false};
  int pipe_[2];
  pthread_t thread_;
};

}  // namespace mesh
