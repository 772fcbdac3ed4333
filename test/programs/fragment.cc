// A program that leaves its heap full of holes (holes.h), for memory to be measured from outside.
//
// It fills the heap, frees a random 90 % of the objects (or all but every N-th), idles as a server
// does (short sleeps), then checks every byte that is left. It speaks one JSON object a line on
// stdout, {"phase": ...}, and after each waits for a line on stdin, so that whoever runs it can
// measure at rest:
//
//   ready -> filled -> freed [-> compacted] -> settled -> checked
//
// What is measured at "ready" is the cost of the program without its heap. Room: test; uses no room
// of Mesh, and calls mesh_mallctl only if the preloaded library has it.
//
// With --threads=N, N threads fill a part each and free the part of the next one; they all stay,
// asleep, to the end. With --quiet the idle time is one long sleep, in which nothing is called.
//
// With --stages=N it frees in as many parts, and compacts or idles after each. --own_mappings=N: it
// has as many of its own, of which the kernel allows a process no more than vm.max_map_count.
//
// Options: --mb=N (64), --free_percent=N (90), --keep_every=N (0: random ones), --stages=N (1),
// --idle_ms=N (3000), --seed=N (1), --twelve_sizes, --threads=N (0), --quiet, --compact,
// --own_mappings=N (0).

#include <sys/mman.h>
#include <unistd.h>

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <mutex>
#include <thread>
#include <vector>

#include "test/programs/holes.h"
#include "test/programs/mesh_control.h"
#include "test/programs/number_options.h"

namespace {

// Tells the observer where we are and waits until it has measured; no answer means that it has
// gone, and so do we.
void Report(const char* phase, const holes::Heap& heap, double ms, std::uint64_t wrong) {
  std::printf(
      "{\"phase\": \"%s\", \"live_bytes\": %llu, \"objects\": %llu, \"ms\": %.1f, \"wrong\": "
      "%llu}\n",
      phase, static_cast<unsigned long long>(heap.live_bytes()),
      static_cast<unsigned long long>(heap.live()), ms, static_cast<unsigned long long>(wrong));
  std::fflush(stdout);
  char line[16];
  if (std::fgets(line, sizeof(line), stdin) == nullptr) std::exit(0);
}

class Stopwatch {
 public:
  double ms() const {
    return std::chrono::duration<double, std::milli>(Clock::now() - start_).count();
  }

 private:
  using Clock = std::chrono::steady_clock;
  Clock::time_point start_ = Clock::now();
};

// Sleeps in short naps, in which an allocator that works before a thread blocks gets its chances;
// or at one go.
void Idle(std::uint64_t ms, bool is_quiet) {
  if (is_quiet) {
    const timespec time = {static_cast<time_t>(ms / 1000),
                           static_cast<long>(ms % 1000 * 1'000'000)};
    nanosleep(&time, nullptr);
    return;
  }
  constexpr std::uint64_t kNapMs = 10;
  const timespec nap = {0, kNapMs * 1'000'000};
  for (std::uint64_t slept = 0; slept < ms; slept += kNapMs) nanosleep(&nap, nullptr);
}

// Threads that work on the heap, phase by phase, and sleep in between.
class Crew {
 public:
  Crew(holes::Heap& heap, std::uint64_t size) : heap_(heap), size_(size) {
    for (std::uint64_t i = 0; i < size; ++i) threads_.emplace_back([this, i] { Run(i); });
  }
  ~Crew() {
    Start(kEnd);
    for (std::thread& thread : threads_) thread.join();
  }
  Crew(const Crew&) = delete;
  Crew& operator=(const Crew&) = delete;

  void FillAll() { Do(kFill); }
  void FreeSome() { Do(kFree); }

 private:
  enum Phase { kNone, kFill, kFree, kEnd };

  void Do(Phase phase) {
    if (size_ == 0) return phase == kFill ? heap_.FillAll() : heap_.FreeSome();
    Start(phase);
    std::unique_lock<std::mutex> lock(mutex_);
    ready_.wait(lock, [this] { return done_ == size_; });
  }

  void Start(Phase phase) {
    const std::lock_guard<std::mutex> lock(mutex_);
    phase_ = phase;
    done_ = 0;
    begin_.notify_all();
  }

  void Run(std::uint64_t index) {
    for (Phase before = kNone;;) {
      {
        std::unique_lock<std::mutex> lock(mutex_);
        begin_.wait(lock, [&] { return phase_ != before; });
        before = phase_;
      }
      if (before == kEnd) return;
      if (before == kFill) heap_.FillPart(index, size_);
      if (before == kFree) heap_.FreePartOf((index + 1) % size_, size_);
      const std::lock_guard<std::mutex> lock(mutex_);
      ++done_;
      ready_.notify_all();
    }
  }

  holes::Heap& heap_;
  const std::uint64_t size_;
  std::mutex mutex_;
  std::condition_variable begin_;
  std::condition_variable ready_;
  Phase phase_ = kNone;
  std::uint64_t done_ = 0;
  std::vector<std::thread> threads_;
};

void MakeMappings(std::uint64_t count) {
  const auto page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  void* place = mmap(nullptr, count * page + page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (place == MAP_FAILED) holes::Die("no address space");
  // Every other page: two mappings each.
  for (std::uint64_t i = 1; i < count; i += 2) {
    if (mprotect(static_cast<char*>(place) + i * page, page, PROT_READ) != 0) {
      holes::Die("no mappings left");
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  holes::Shape shape;
  std::uint64_t idle_ms = 3000;
  std::uint64_t compact = 0;
  std::uint64_t threads = 0;
  std::uint64_t quiet = 0;
  std::uint64_t stages = 1;
  std::uint64_t own_mappings = 0;
  const NumberOption options[] = {{"--mb", &shape.mb, 1, 1 << 20},
                                  {"--free_percent", &shape.free_percent, 0, 100},
                                  {"--keep_every", &shape.keep_every, 0, 1000},
                                  {"--idle_ms", &idle_ms, 0, 1 << 30},
                                  {"--seed", &shape.seed, 0, UINT64_MAX},
                                  {"--twelve_sizes", &shape.twelve_sizes, 0, 1, true},
                                  {"--threads", &threads, 0, 64},
                                  {"--stages", &stages, 1, 100},
                                  {"--own_mappings", &own_mappings, 0, 1 << 22},
                                  {"--quiet", &quiet, 0, 1, true},
                                  {"--compact", &compact, 0, 1, true}};
  ParseNumberOptions(argc, argv, options);
  if (own_mappings != 0) MakeMappings(own_mappings);
  holes::Heap heap(shape);
  Crew crew(heap, threads);
  Report("ready", heap, 0, 0);

  const Stopwatch fill;
  crew.FillAll();
  Report("filled", heap, fill.ms(), 0);

  for (std::uint64_t stage = 1; stage < stages; ++stage) {
    heap.FreeUpTo(shape.free_percent * stage / stages);
    if (compact == 0 || !MeshControl().Compact()) Idle(idle_ms, quiet != 0);
  }
  const Stopwatch release;
  crew.FreeSome();
  Report("freed", heap, release.ms(), 0);

  if (compact != 0) {
    const Stopwatch compaction;
    if (MeshControl().Compact()) Report("compacted", heap, compaction.ms(), 0);
  }

  Idle(idle_ms, quiet != 0);
  Report("settled", heap, static_cast<double>(idle_ms), 0);

  const Stopwatch check;
  const std::uint64_t wrong = heap.CountWrong();
  Report("checked", heap, check.ms(), wrong);
  return wrong == 0 ? 0 : 1;
}
