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
// Options: --mb=N (64), --free_percent=N (90), --keep_every=N (0: random ones),
// --idle_ms=N (3000), --seed=N (1), --compact.

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <ctime>

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

// Sleeps in short naps: an allocator that works before a thread blocks gets its chances.
void Idle(std::uint64_t ms) {
  constexpr std::uint64_t kNapMs = 10;
  const timespec nap = {0, kNapMs * 1'000'000};
  for (std::uint64_t slept = 0; slept < ms; slept += kNapMs) nanosleep(&nap, nullptr);
}

}  // namespace

int main(int argc, char** argv) {
  holes::Shape shape;
  std::uint64_t idle_ms = 3000;
  std::uint64_t compact = 0;
  const NumberOption options[] = {{"--mb", &shape.mb, 1, 1 << 20},
                                  {"--free_percent", &shape.free_percent, 0, 100},
                                  {"--keep_every", &shape.keep_every, 0, 1000},
                                  {"--idle_ms", &idle_ms, 0, 1 << 30},
                                  {"--seed", &shape.seed, 0, UINT64_MAX},
                                  {"--compact", &compact, 0, 1, true}};
  ParseNumberOptions(argc, argv, options);
  holes::Heap heap(shape);
  Report("ready", heap, 0, 0);

  const Stopwatch fill;
  heap.FillAll();
  Report("filled", heap, fill.ms(), 0);

  const Stopwatch release;
  heap.FreeSome();
  Report("freed", heap, release.ms(), 0);

  if (compact != 0) {
    const Stopwatch compaction;
    if (MeshControl().Compact()) Report("compacted", heap, compaction.ms(), 0);
  }

  Idle(idle_ms);
  Report("settled", heap, static_cast<double>(idle_ms), 0);

  const Stopwatch check;
  const std::uint64_t wrong = heap.CountWrong();
  Report("checked", heap, check.ms(), wrong);
  return wrong == 0 ? 0 : 1;
}
