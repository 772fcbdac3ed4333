// What a thread costs that has allocated and now sleeps, as most of a server's do: each allocates
// objects of many sizes, frees all but one, and waits. Figure: anonymous and shared memory that the
// threads brought, per thread, their stacks included. Unit: a thread.
#include <array>
#include <condition_variable>
#include <cstring>
#include <mutex>

#include "test/bench/shape.h"

namespace {

constexpr std::size_t kObjects = 100;

class Gate {
 public:
  void Arrive() {
    std::unique_lock lock(mutex_);
    ++arrived_;
    changed_.notify_all();
    changed_.wait(lock, [this] { return open_; });
  }
  void AwaitArrivals(std::uint64_t count) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return arrived_ == count; });
  }
  void Open() {
    const std::lock_guard lock(mutex_);
    open_ = true;
    changed_.notify_all();
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::uint64_t arrived_ = 0;
  bool open_ = false;
};

// Returns the process's resident memory [KiB]; nothing is meshed here, so RSS counts no page twice.
double ResidentKb() {
  std::FILE* rollup = std::fopen("/proc/self/smaps_rollup", "r");
  bench::Expect(rollup != nullptr, "no smaps_rollup");
  char line[256];
  double kb = 0;
  while (std::fgets(line, sizeof(line), rollup) != nullptr) {
    if (std::sscanf(line, "Rss: %lf", &kb) == 1) break;
  }
  std::fclose(rollup);
  return kb;
}

void UseAndSleep(Gate& gate, std::uint64_t seed) {
  bench::Random random(seed);
  std::array<void*, kObjects> objects;
  for (void*& object : objects) bench::Mark(object = bench::Malloc(random.SmallSize(2048)), seed);
  for (std::size_t i = 1; i < kObjects; ++i) bench::Free(objects[i]);
  gate.Arrive();
  bench::Free(objects[0]);
}

}  // namespace

int main(int argc, char** argv) {
  const bench::Shape shape(argc, argv, 1'000);
  const std::uint64_t count = shape.units();
  Gate gate;
  std::vector<std::thread> threads(count);
  const double before = ResidentKb();
  for (std::uint64_t i = 0; i < count; ++i) {
    threads[i] = std::thread([&gate, i] {
      UseAndSleep(gate, i);
      bench::latency::MergeThread();
    });
  }
  gate.AwaitArrivals(count);
  const double kb = (ResidentKb() - before) / static_cast<double>(count);
  gate.Open();
  for (std::thread& thread : threads) thread.join();
  return shape.Report("thread", count, "resident_kb_per_thread", kb);
}
