// A program at work whose heap does not fragment: what does compaction cost it?
//
//   fifo     each thread replaces the oldest of its objects by one of a random size, again and
//   again random   it replaces a random one burst    it allocates them all, and frees them all
//
// Objects are of 16 to 400 bytes. One JSON object on stdout: the processor time of the process, and
// of it Mesh's own thread's; faults; spans made, and meshed. To compare with: MESH_PERIOD_MS=0, no
// passes. Room: test; uses no room of Mesh, and runs without Mesh as well.
//
// Options: --shape=N (0: fifo, 1: random, 2: burst), --threads=N (1), --mb=N (64), --millions=N
// (10, of replacements in each thread).

#include <sys/resource.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <random>
#include <thread>
#include <vector>

#include "test/programs/mesh_control.h"
#include "test/programs/number_options.h"

namespace {

constexpr std::size_t kLeastBytes = 16;
constexpr std::size_t kSizes = 385;
constexpr std::size_t kMeanBytes = kLeastBytes + kSizes / 2;
constexpr std::uint64_t kMillion = 1'000'000;

enum Shape : std::uint64_t { kFifo, kRandom, kBurst };

struct Options {
  std::uint64_t shape = kFifo;
  std::uint64_t threads = 1;
  std::uint64_t mb = 64;
  std::uint64_t millions = 10;
};

using Objects = std::vector<void*>;

void Work(const Options& options, std::uint64_t seed, Objects& objects) {
  std::minstd_rand random(static_cast<unsigned>(seed));
  for (std::uint64_t done = 0; done < options.millions * kMillion; done++) {
    const std::uint64_t index = options.shape == kRandom ? random() : done;
    void*& object = objects[index % objects.size()];
    if (options.shape == kBurst && done % objects.size() == 0) {
      for (void*& old : objects) {
        std::free(old);
        old = nullptr;
      }
    }
    std::free(object);
    const std::size_t size = kLeastBytes + random() % kSizes;
    object = std::malloc(size);
    if (object == nullptr) std::abort();
    std::memset(object, 1, size);
  }
}

double CpuMs() {
  timespec now = {};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) * 1e3 + static_cast<double>(now.tv_nsec) / 1e6;
}

void Report() {
  const MeshControl mesh;
  const double cpu_ms = CpuMs();
  const double own_ms = static_cast<double>(mesh.Number("stats.background_cpu_ns")) / 1e6;
  rusage usage = {};
  getrusage(RUSAGE_SELF, &usage);
  std::printf(
      "{\"cpu_ms\": %.1f, \"background_ms\": %.2f, \"percent\": %.3f, \"faults\": %ld, "
      "\"spans\": %zu, \"mesh_count\": %zu}\n",
      cpu_ms, own_ms, 100 * own_ms / cpu_ms, usage.ru_minflt,
      mesh.Number("stats.miniheap_alloc_count"), mesh.Number("stats.mesh_count"));
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  const NumberOption known[] = {
      {"--shape", &options.shape, kFifo, kBurst},
      {"--threads", &options.threads, 1, 64},
      {"--mb", &options.mb, 1, 10'000},
      {"--millions", &options.millions, 1, 10'000},
  };
  ParseNumberOptions(argc, argv, known);
  std::vector<Objects> objects(options.threads);
  std::vector<std::thread> threads;
  for (Objects& own : objects) {
    own.resize(options.mb * kMillion / options.threads / kMeanBytes);
    threads.emplace_back([&, seed = threads.size() + 1] { Work(options, seed, own); });
  }
  for (std::thread& thread : threads) thread.join();
  Report();
  // They are there until now, so that the heap is what it was at work.
  for (const Objects& own : objects) {
    for (void* object : own) std::free(object);
  }
  return 0;
}
