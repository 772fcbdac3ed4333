// Times fork() of a process whose heap has been compacted.
//
// It fills a heap, frees a random share of it (holes.h), asks for a compaction if Mesh is there,
// and forks --forks times: how long fork() takes to return in the parent, and how long it takes
// until a child that exits at once has been waited for. The first fork is the one that finds meshed
// spans; with --compact_between, so does every one. With --rewrite the parent then stores into
// every object, as fork's copy-on-write is paid there, and has the heap compacted again. At last
// one more child and the parent check every byte. One JSON object on stdout; times in microseconds,
// in the order of the forks; physical memory as Mesh itself counts it.
//
// Room: test; uses no room of Mesh.
// Options: --mb=N (64), --free_percent=N (90), --seed=N (1), --forks=N (5), --compact_between,
// --rewrite.
// Exit status: 0, 1 when a byte was wrong in the child or the parent.

#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdint>
#include <cstdio>

#include "test/programs/check.h"
#include "test/programs/holes.h"
#include "test/programs/mesh_control.h"
#include "test/programs/number_options.h"

namespace {

constexpr std::uint64_t kMaxForks = 100;

// Mappings of this process, whatever its allocator.
unsigned CountMappings() {
  std::FILE* maps = std::fopen("/proc/self/maps", "r");
  REQUIRE(maps != nullptr);
  unsigned lines = 0;
  for (int c = std::getc(maps); c != EOF; c = std::getc(maps)) lines += c == '\n';
  std::fclose(maps);
  return lines;
}

double MicrosecondsSince(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - start)
      .count();
}

// Status of `child`, once it has ended.
int WaitFor(pid_t child) {
  int status = -1;
  REQUIRE(waitpid(child, &status, 0) == child);
  REQUIRE(WIFEXITED(status));
  return WEXITSTATUS(status);
}

struct ForkTimes {
  double fork_us;
  double whole_us;
};

ForkTimes TimeOneFork() {
  ForkTimes times;
  const auto start = std::chrono::steady_clock::now();
  const pid_t child = fork();
  if (child == 0) _exit(0);
  times.fork_us = MicrosecondsSince(start);
  REQUIRE(child > 0);
  REQUIRE(WaitFor(child) == 0);
  times.whole_us = MicrosecondsSince(start);
  return times;
}

// `when` names the state that the figure is of.
void PrintPhysical(const char* when, const MeshControl& mesh) {
  std::printf("\"physical_bytes_%s\": %zu, ", when, mesh.Number("stats.physical"));
}

void RewriteAndCompact(holes::Heap* heap, const MeshControl& mesh) {
  PrintPhysical("forked", mesh);
  heap->Rewrite();
  PrintPhysical("rewritten", mesh);
  mesh.Compact();
  PrintPhysical("compacted_again", mesh);
}

bool ChildFindsAllRight(const holes::Heap& heap) {
  const pid_t child = fork();
  REQUIRE(child >= 0);
  if (child == 0) _exit(heap.CountWrong() == 0 ? 0 : 1);
  return WaitFor(child) == 0;
}

void PrintTimes(const char* name, const ForkTimes* times, std::uint64_t count,
                double ForkTimes::*which) {
  std::printf("\"%s\": [", name);
  for (std::uint64_t i = 0; i < count; ++i) {
    std::printf("%s%.1f", i == 0 ? "" : ", ", times[i].*which);
  }
  std::printf("], ");
}

}  // namespace

int main(int argc, char** argv) {
  holes::Shape shape;
  std::uint64_t forks = 5;
  std::uint64_t compact_between = 0;
  std::uint64_t rewrite = 0;
  const NumberOption options[] = {{"--mb", &shape.mb, 1, 1 << 20},
                                  {"--free_percent", &shape.free_percent, 0, 100},
                                  {"--seed", &shape.seed, 0, UINT64_MAX},
                                  {"--forks", &forks, 1, kMaxForks},
                                  {"--compact_between", &compact_between, 0, 1, true},
                                  {"--rewrite", &rewrite, 0, 1, true}};
  ParseNumberOptions(argc, argv, options);
  const MeshControl mesh;
  holes::Heap heap(shape);
  heap.FillAll();
  heap.FreeSome();
  mesh.Compact();
  std::printf("{");
  PrintPhysical("compacted", mesh);
  const std::size_t meshed_pages = mesh.Number("stats.meshed_pages_now");
  const unsigned mappings = CountMappings();

  static ForkTimes times[kMaxForks];
  for (std::uint64_t i = 0; i < forks; ++i) {
    if (i > 0 && compact_between != 0) mesh.Compact();
    times[i] = TimeOneFork();
  }
  const unsigned mappings_after = CountMappings();
  if (rewrite != 0) RewriteAndCompact(&heap, mesh);
  const bool child_right = ChildFindsAllRight(heap);
  const std::uint64_t wrong = heap.CountWrong();

  std::printf("\"live_bytes\": %llu, \"meshed_pages\": %zu, \"mesh_count\": %zu, ",
              static_cast<unsigned long long>(heap.live_bytes()), meshed_pages,
              mesh.Number("stats.mesh_count"));
  std::printf("\"mappings\": %u, \"mappings_after\": %u, ", mappings, mappings_after);
  PrintTimes("fork_us", times, forks, &ForkTimes::fork_us);
  PrintTimes("fork_exit_wait_us", times, forks, &ForkTimes::whole_us);
  std::printf("\"child_right\": %s, \"wrong\": %llu}\n", child_right ? "true" : "false",
              static_cast<unsigned long long>(wrong));
  return child_right && wrong == 0 ? 0 : 1;
}
