// Threads that store into small heap objects, and read files into them, while the main thread has
// the heap compacted over and over: no store may get lost, no call may fail, no signal may come.
//
// Every object holds a piece of one file of random bytes: a thread puts it there by a loop of
// stores or by read(2), pread(2), readv(2), and whoever meets the object again compares it with the
// file. Each thread fills its share of the heap and frees --free_percent of it at random, again and
// again, and between these waves frees and allocates at rates that keep the heap that sparse.
// Counted are contents that differ, calls that fail (EFAULT apart) or come back short, and SIGSEGV
// and SIGBUS, for which the program has handlers. With --fork_every=N a child is forked after every
// N compactions, which checks and compacts its copy while the parent stores into its own. One JSON
// object on stdout.
//
// Room: test; uses no room of Mesh, and runs without Mesh as well.
// Options: --threads=N (4), --seconds=N (10), --passes=N (0: compactions that there are at least,
// for which it takes up to ten times the seconds), --mb=N (16), --free_percent=N (80), --seed=N
// (1),
// --fork_every=N (0: never).
// Exit status: 0, 1 when any of the above was counted.

#include <dlfcn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <latch>
#include <memory>
#include <random>
#include <thread>
#include <vector>

#include "test/programs/check.h"
#include "test/programs/endurance_worker.h"
#include "test/programs/mesh_control.h"
#include "test/programs/number_options.h"

namespace {

// After so many the program is in a loop of faults that its handlers do not cure.
constexpr unsigned kTooManySignals = 1000;

std::atomic<unsigned> signals{0};

void CountSignal(int) {
  if (++signals < kTooManySignals) return;
  constexpr char kText[] = "barrier_endurance: faults without end\n";
  _exit(write(2, kText, sizeof(kText) - 1) > 0 ? 1 : 2);
}

struct Outcome {
  Counts counts;
  std::uint64_t passes = 0;
  std::uint64_t forks = 0;
  std::uint64_t wrong_snapshots = 0;
  const char* tier = "absent";
};

// Mesh shows meshed pages in another way to a program that imports fork: both are of interest, so
// the program is built with and without.
pid_t Fork() {
#ifdef CALLS_FORK
  return fork();
#else
  using Function = pid_t (*)();
  return reinterpret_cast<Function>(dlsym(RTLD_DEFAULT, "fork"))();
#endif
}

// Objects of the main thread, which lie among those of the workers. In each generation all of them
// have other contents, so that a forked child can tell whether it sees its parent's later stores.
class Snapshot {
 public:
  Snapshot(const Source& source, std::uint64_t seed) : source_(source) {
    std::mt19937_64 random(seed);
    for (Object& object : objects_) {
      object.size = kMinBytes + random() % (kMaxBytes - kMinBytes + 1);
      object.data = static_cast<unsigned char*>(malloc(object.size));
      REQUIRE(object.data != nullptr);
    }
    Renew();
  }

  void Renew() {
    ++generation_;
    for (std::size_t i = 0; i < kObjects; ++i) {
      Object& object = objects_[i];
      object.offset = (generation_ * 7919 + i * 104729) % (kFileBytes - kMaxBytes);
      memcpy(object.data, source_.at(object.offset), object.size);
    }
  }

  bool IsRight() const {
    bool right = true;
    for (const Object& object : objects_) {
      right &= memcmp(object.data, source_.at(object.offset), object.size) == 0;
    }
    return right;
  }

  void FreeAll() {
    for (Object& object : objects_) free(object.data);
  }

 private:
  static constexpr std::size_t kObjects = 1000;
  const Source& source_;
  std::vector<Object> objects_{kObjects};
  std::uint64_t generation_ = 0;
};

// In the child: the heap as it was, which goes on working. Exit status 0 if all is right.
[[noreturn]] void RunChild(Snapshot* snapshot, const MeshControl& mesh) {
  bool right = snapshot->IsRight();
  mesh.Compact();
  right &= snapshot->IsRight();
  snapshot->Renew();
  right &= snapshot->IsRight();
  snapshot->FreeAll();
  _exit(right ? 0 : 1);
}

// Returns false when the child or the parent has seen stores that are not its own.
bool ForkOnce(Snapshot* snapshot, const MeshControl& mesh) {
  const pid_t child = Fork();
  REQUIRE(child >= 0);
  if (child == 0) RunChild(snapshot, mesh);
  snapshot->Renew();
  mesh.Compact();
  int status = -1;
  REQUIRE(waitpid(child, &status, 0) == child);
  REQUIRE(WIFEXITED(status));
  return snapshot->IsRight() && WEXITSTATUS(status) == 0;
}

// As many times the seconds may pass until there are enough passes.
constexpr int kMostTimes = 10;

// The main thread's part, for the length of the run.
void CompactAndFork(const Options& options, Snapshot* snapshot, const MeshControl& mesh,
                    Outcome* outcome) {
  const auto begin = std::chrono::steady_clock::now();
  auto is_over = [&] {
    const auto spent = std::chrono::steady_clock::now() - begin;
    const bool is_enough = outcome->passes >= options.passes;
    return spent >= std::chrono::seconds(options.seconds) * (is_enough ? 1 : kMostTimes);
  };
  while (!is_over()) {
    if (!mesh.Compact()) std::this_thread::sleep_for(std::chrono::milliseconds(10));
    outcome->passes++;
    if (options.fork_every == 0 || outcome->passes % options.fork_every != 0) continue;
    if (!ForkOnce(snapshot, mesh)) outcome->wrong_snapshots++;
    outcome->forks++;
  }
}

Outcome RunAll(const Options& options, const Source& source, const MeshControl& mesh) {
  std::vector<std::unique_ptr<Worker>> workers;
  std::vector<std::thread> threads;
  std::latch prepared(static_cast<std::ptrdiff_t>(options.threads) + 1);
  std::atomic<bool> stop{false};
  for (std::uint64_t i = 0; i < options.threads; ++i) {
    workers.push_back(std::make_unique<Worker>(options, source, i));
  }
  for (auto& worker : workers) {
    threads.emplace_back([&, worker = worker.get()] {
      worker->Wave();
      prepared.arrive_and_wait();
      worker->Run(stop);
    });
  }
  Snapshot snapshot(source, options.seed);
  prepared.arrive_and_wait();
  Outcome outcome;
  CompactAndFork(options, &snapshot, mesh, &outcome);
  // While the threads still run: alone, a process needs no barrier.
  outcome.tier = mesh.Word("stats.barrier_tier");
  stop = true;
  for (std::thread& thread : threads) thread.join();
  for (const auto& worker : workers) outcome.counts.Add(worker->counts());
  return outcome;
}

void Print(const Outcome& outcome, const MeshControl& mesh) {
  const struct {
    const char* name;
    std::uint64_t value;
  } figures[] = {{"passes", outcome.passes},
                 {"forks", outcome.forks},
                 {"mesh_count", mesh.Number("stats.mesh_count")},
                 {"longest_pause_ns", mesh.Number("stats.longest_pause_ns")},
                 {"stores", outcome.counts.stores},
                 {"reads", outcome.counts.reads},
                 {"allocations", outcome.counts.allocations},
                 {"frees", outcome.counts.frees},
                 {"lost", outcome.counts.lost},
                 {"efaults", outcome.counts.efaults},
                 {"failed_calls", outcome.counts.failed_calls},
                 {"wrong_snapshots", outcome.wrong_snapshots},
                 {"signals", signals}};
  std::printf("{\"barrier_tier\": \"%s\"", outcome.tier);
  for (const auto& figure : figures) {
    std::printf(", \"%s\": %llu", figure.name, static_cast<unsigned long long>(figure.value));
  }
  std::printf("}\n");
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  const NumberOption known[] = {{"--threads", &options.threads, 1, 256},
                                {"--seconds", &options.seconds, 1, 1 << 20},
                                {"--passes", &options.passes, 0, 1 << 20},
                                {"--mb", &options.mb, 1, 1 << 14},
                                {"--free_percent", &options.free_percent, 0, 99},
                                {"--seed", &options.seed, 0, UINT64_MAX},
                                {"--fork_every", &options.fork_every, 0, UINT64_MAX}};
  ParseNumberOptions(argc, argv, known);
  std::signal(SIGSEGV, CountSignal);
  std::signal(SIGBUS, CountSignal);
  const Source source(options.seed);
  const MeshControl mesh;
  const Outcome outcome = RunAll(options, source, mesh);
  Print(outcome, mesh);
  const Counts& counts = outcome.counts;
  const bool failed =
      counts.lost + counts.efaults + counts.failed_calls + outcome.wrong_snapshots + signals > 0;
  return failed ? 1 : 0;
}
