// See process.h.
#include "src/os/process.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/membarrier.h>
#include <sched.h>
#include <sys/auxv.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>

#include <atomic>

#include "src/base/random.h"
#include "src/base/units.h"
#include "src/base/writer.h"
#include "src/os/descriptor_gate.h"
#include "src/os/file.h"
#include "src/os/gated_call.h"
#include "src/os/memory.h"
#include "src/os/proc_text.h"

namespace mesh::os {
namespace {

// getrandom(2): fail rather than wait for a seed at boot. sys/random.h.
constexpr int kGetrandomNonblock = 1;

constexpr size_t kStatSize = 1024;    // bytes; /proc/self/stat has 52 numbers and a short name
constexpr size_t kStatusSize = 4096;  // bytes; /proc/self/status is about 1.5 KiB

// Without getrandom: unpredictable from outside, and different in each thread and at each call.
uint64_t WeakSeed() {
  uint64_t seed = MonotonicNs() ^ (static_cast<uint64_t>(ThreadId()) << 40);
  const auto* from_exec = reinterpret_cast<const unsigned char*>(getauxval(AT_RANDOM));
  if (from_exec != nullptr) {
    uint64_t word;
    __builtin_memcpy(&word, from_exec, sizeof(word));
    seed ^= word;
    __builtin_memcpy(&word, from_exec + sizeof(word), sizeof(word));
    seed ^= (word << 17) | (word >> 47);
  }
  return seed;
}

// See SetOwnThread().
constinit std::atomic<int> own_thread{0};

uint64_t ReadClock(clockid_t clock) {
  struct timespec now = {};
  clock_gettime(clock, &now);
  return static_cast<uint64_t>(now.tv_sec) * kNsPerSecond + static_cast<uint64_t>(now.tv_nsec);
}

// Reads a file of /proc/self/task/THREAD.
Result<size_t> ReadThreadFile(std::string_view thread, std::string_view file,
                              std::span<char> buffer) {
  LineWriter path;
  path.Text("/proc/self/task/").Text(thread).Text(file).Text(std::string_view("\0", 1));
  return ReadSmallFile(path.view().data(), buffer);
}

// Whether the thread is on its way out of the kernel, or has ended. Who was waiting for it may go
// on a while before it leaves the directory.
bool HasExited(std::string_view thread) {
  constexpr int kFlags = 9;                  // proc(5)
  constexpr uint64_t kExiting = 0x00000004;  // PF_EXITING, linux/sched.h
  char buffer[kStatSize];
  Result<size_t> size = ReadThreadFile(thread, "/stat", buffer);
  if (!size.ok()) return size.error == ENOENT || size.error == ESRCH;
  Result<uint64_t> flags = StatField({buffer, size.value}, kFlags);
  return flags.ok() && (flags.value & kExiting) != 0;
}

// Whether the thread blocks the signals in `mask`; false for one that has ended, as all do blocking
// everything.
Result<bool> ThreadBlocks(std::string_view thread, uint64_t mask) {
  char buffer[kStatusSize];
  Result<size_t> size = ReadThreadFile(thread, "/status", buffer);
  if (size.error == ENOENT || size.error == ESRCH) return {false, 0};
  if (!size.ok()) return {false, size.error};
  Result<uint64_t> blocked = FindHexNumber({buffer, size.value}, "SigBlk:");
  return {(blocked.value & mask) != 0 && !HasExited(thread), blocked.error};
}

// One record of getdents64(2), of which we need the name.
struct DirectoryEntry {
  uint64_t inode;
  int64_t offset;
  uint16_t size;
  uint8_t type;
  char name[];
};

// Whether visit(name, number), a Result<bool>, says yes to an entry of the directory whose name is
// a number. Its first error ends the search.
template <typename Visit>
Result<bool> AnyEntry(const char* directory, Visit visit) {
  FileReader entries;
  if (Status opened = entries.Open(directory); !opened.ok()) return {false, opened.error};
  alignas(DirectoryEntry) char buffer[kStatSize];
  while (true) {
    Result<size_t> got = entries.ReadEntries(buffer);
    if (!got.ok() || got.value == 0) return {false, got.error};
    for (size_t at = 0; at < got.value;) {
      const auto* entry = reinterpret_cast<const DirectoryEntry*>(buffer + at);
      at += entry->size;
      Result<uint64_t> number = ParseNumber(entry->name);
      if (!number.ok()) continue;  // "." and ".."
      Result<bool> found = visit(entry->name, number.value);
      if (!found.ok() || found.value) return found;
    }
  }
}

// Descriptors without a file system behind are told by the text of their link. One that is closed
// meanwhile is none.
bool IsIoRing(const char* name, int descriptor) {
  struct stat status;
  if (!GatedStatus(Call::kStat, SYS_fstat, descriptor, &status).ok()) return false;
  if ((status.st_mode & S_IFMT) != 0) return false;
  constexpr std::string_view kIoRing = "anon_inode:[io_uring]";
  char text[kIoRing.size()];
  LineWriter writer;
  writer.Text("/proc/self/fd/").Text(name).Text(std::string_view("\0", 1));
  Result<long> size =
      GatedCall(Call::kRead, SYS_readlinkat, AT_FDCWD, writer.view().data(), text, sizeof(text));
  return size.ok() && std::string_view(text, static_cast<size_t>(size.value)) == kIoRing;
}

}  // namespace

int ProcessId() { return static_cast<int>(RawSyscall(SYS_getpid)); }

int ThreadId() { return static_cast<int>(RawSyscall(SYS_gettid)); }

Result<size_t> ThreadCount() {
  char buffer[kStatSize];
  Result<size_t> size = ReadSmallFile("/proc/self/stat", buffer);
  if (!size.ok()) return size;
  constexpr int kNumThreads = 20;  // proc(5)
  Result<uint64_t> count = StatField({buffer, size.value}, kNumThreads);
  return {static_cast<size_t>(count.value), count.error};
}

Result<bool> AnyOtherThreadBlocks(int signal_number) {
  const uint64_t self = static_cast<uint64_t>(ThreadId());
  return AnyEntry("/proc/self/task", [&](const char* name, uint64_t thread) -> Result<bool> {
    // order: relaxed; see SetOwnThread().
    const int own = own_thread.load(std::memory_order_relaxed);
    if (thread == self || thread == static_cast<uint64_t>(own)) return {false, 0};
    return ThreadBlocks(name, uint64_t{1} << (signal_number - 1));
  });
}

void SetOwnThread(int thread) {
  // order: relaxed; a thread that has just begun, or ended, is no obstacle either way.
  own_thread.store(thread, std::memory_order_relaxed);
}

bool IsThread(int thread) {
  LineWriter number;
  number.Decimal(static_cast<uint64_t>(thread));
  char buffer[kStatSize];
  return ReadThreadFile(number.view(), "/stat", buffer).ok();
}

// By a file: prctl is a call that a filter may kill for.
void NameThread(std::string_view name) {
  LineWriter path;
  path.Text("/proc/self/task/").Decimal(static_cast<uint64_t>(ThreadId())).Text("/comm");
  path.Text(std::string_view("\0", 1));
  static_cast<void>(WriteSmallFile(path.view().data(), name));
}

void UseOrdinaryScheduling() {
  constexpr int kPolicy = 41;  // proc(5)
  LineWriter number;
  number.Decimal(static_cast<uint64_t>(ThreadId()));
  char buffer[kStatSize];
  Result<size_t> size = ReadThreadFile(number.view(), "/stat", buffer);
  if (!size.ok()) return;
  Result<uint64_t> policy = StatField({buffer, size.value}, kPolicy);
  if (!policy.ok() || policy.value == SCHED_OTHER) return;
  const sched_param priority = {};
  static_cast<void>(
      RawSyscall(SYS_sched_setscheduler, 0, SCHED_OTHER, reinterpret_cast<long>(&priority)));
}

Result<bool> HasIoRing() {
  return AnyEntry("/proc/self/fd", [](const char* name, uint64_t descriptor) {
    return Result<bool>{IsIoRing(name, static_cast<int>(descriptor)), 0};
  });
}

Result<size_t> MappingCount() {
  FileReader maps;
  if (Status opened = maps.Open("/proc/self/maps"); !opened.ok()) return {0, opened.error};
  maps.GetOutOfTheWay();
  char buffer[kPageSize];  // the kernel hands out at most a page a call
  size_t lines = 0;
  while (true) {
    Result<size_t> got = maps.Read(buffer);
    if (!got.ok()) return {0, got.error};
    if (got.value == 0) return {lines, 0};
    for (size_t i = 0; i < got.value; i++) lines += buffer[i] == '\n';
  }
}

Result<size_t> MaxMappingCount() {
  char buffer[32];
  Result<size_t> size = ReadSmallFile("/proc/sys/vm/max_map_count", buffer);
  if (!size.ok()) return size;
  Result<uint64_t> count = ParseNumber({buffer, size.value});
  return {static_cast<size_t>(count.value), count.error};
}

MemoryFigures ParseMemoryFigures(std::string_view text) {
  MemoryFigures figures;
  const struct {
    std::string_view key;
    size_t* bytes;
  } lines[] = {
      {"Rss:", &figures.rss},
      {"Pss:", &figures.pss},
      {"Pss_Anon:", &figures.pss_anon},
      {"Pss_File:", &figures.pss_file},
      {"Pss_Shmem:", &figures.pss_shmem},
      {"Anonymous:", &figures.anonymous},
      {"AnonHugePages:", &figures.anon_huge_pages},
      {"Swap:", &figures.swap},
      {"SwapPss:", &figures.swap_pss},
      {"Locked:", &figures.locked},
  };
  for (const auto& line : lines) *line.bytes = FindNumber(text, line.key).value * kKiB;
  return figures;
}

Result<MemoryFigures> ReadMemoryFigures() {
  char buffer[kStatusSize];
  Result<size_t> size = ReadSmallFile("/proc/self/smaps_rollup", buffer);
  if (!size.ok()) return {{}, size.error};
  return {ParseMemoryFigures({buffer, size.value}), 0};
}

Result<PageFaults> ReadPageFaults() {
  struct rusage usage;
  Status asked = GatedStatus(Call::kUsage, SYS_getrusage, RUSAGE_SELF, &usage);
  if (!asked.ok()) return {{}, asked.error};
  return {{static_cast<uint64_t>(usage.ru_minflt), static_cast<uint64_t>(usage.ru_majflt)}, 0};
}

Result<int> SeccompMode() {
  char buffer[kStatusSize];
  Result<size_t> size = ReadSmallFile("/proc/self/status", buffer);
  if (!size.ok()) return {0, size.error};
  Result<uint64_t> mode = FindNumber({buffer, size.value}, "Seccomp:");
  // A kernel built without seccomp has no such line.
  if (mode.error == ENOENT) return {0, 0};
  return {static_cast<int>(mode.value), mode.error};
}

Status DumpPrivateFiles() {
  constexpr const char* kFilter = "/proc/self/coredump_filter";
  constexpr uint64_t kPrivateFiles = 1u << 2;  // core(5)
  char buffer[32];
  Result<size_t> size = ReadSmallFile(kFilter, buffer);
  if (!size.ok()) return {size.error};
  Result<uint64_t> filter = FindHexNumber({buffer, size.value}, "");
  if (!filter.ok() || (filter.value & kPrivateFiles) != 0) return {filter.error};
  LineWriter text;
  text.Hex(filter.value | kPrivateFiles);
  return WriteSmallFile(kFilter, text.view());
}

uint64_t MonotonicNs() { return ReadClock(CLOCK_MONOTONIC); }

uint64_t ThreadCpuNs() { return ReadClock(CLOCK_THREAD_CPUTIME_ID); }

uint64_t ProcessCpuNs() { return ReadClock(CLOCK_PROCESS_CPUTIME_ID); }

void YieldThread() { static_cast<void>(RawSyscall(SYS_sched_yield)); }

void RandomBytes(std::span<unsigned char> bytes) {
  while (!bytes.empty()) {
    Result<long> got =
        GatedCall(Call::kRandom, SYS_getrandom, bytes.data(), bytes.size(), kGetrandomNonblock);
    if (got.error == EINTR) continue;
    if (!got.ok()) break;
    bytes = bytes.subspan(static_cast<size_t>(got.value));
  }
  if (bytes.empty()) return;
  Random random(WeakSeed());
  for (unsigned char& byte : bytes) byte = static_cast<unsigned char>(random.Next() >> 56);
}

uint64_t RandomSeed() {
  unsigned char bytes[sizeof(uint64_t)];
  RandomBytes(bytes);
  uint64_t seed;
  __builtin_memcpy(&seed, bytes, sizeof(seed));
  return seed;
}

Status RegisterMembarrier() {
  return GatedStatus(Call::kMembarrier, SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED,
                     0, 0);
}

Status MembarrierAll() {
  return GatedStatus(Call::kMembarrier, SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0);
}

Status ForkDetector::Arm() {
  armed_process_ = ProcessId();
  if (mark_ == nullptr) {
    Result<uintptr_t> page = MapAnonymous(kPageSize);
    if (!page.ok()) return {page.error};
    Status wiped = AdviseWipeOnFork(page.value, kPageSize);
    if (!wiped.ok()) {
      static_cast<void>(Unmap(page.value, kPageSize).ok());
      return wiped;
    }
    mark_ = reinterpret_cast<volatile uint32_t*>(page.value);
  }
  *mark_ = 1;
  return {0};
}

}  // namespace mesh::os
