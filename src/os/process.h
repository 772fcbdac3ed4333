// What the kernel says about this process: identity, counts, memory figures, time, randomness.
//
// Everything that comes from /proc is parsed from buffers on the stack. Without /proc (chroot,
// early boot) those answers are errors, and callers take the careful way.
// Room: os. Thread rule: any thread. Allocates nothing; errno stays untouched.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "src/os/result.h"

namespace mesh::os {

// Never cached: a cache would be wrong in a child made by a raw system call.
int ProcessId();
int ThreadId();

// Threads of this process (/proc/self/stat). Tasks of another process that share our memory
// (clone with CLONE_VM alone) are not among them. Cost: 15 to 30 µs.
Result<size_t> ThreadCount();

// Whether a thread of this process other than the caller blocks the signal (the SigBlk line of
// /proc/self/task/N/status); one that the kernel is ending does not. Cost: about 30 µs a thread.
Result<bool> AnyOtherThreadBlocks(int signal_number);

// Names a thread of ours, which stores to no memory of the program but in a pass of its own:
// AnyOtherThreadBlocks() passes it over. 0: none.
void SetOwnThread(int thread);

// Whether the kernel counts `thread` among this process's; false without /proc.
bool IsThread(int thread);

// For the calling thread. Its name, at most 15 bytes, as ps and debuggers show it; and the policy
// of ordinary programs, if it has inherited a real-time one. What is refused is left as it is.
void NameThread(std::string_view name);
void UseOrdinaryScheduling();

// Whether this process has an io_uring instance open. Cost: about 0.3 µs a descriptor.
Result<bool> HasIoRing();

// Mappings of this process. Cost: proportional to the answer, about 0.5 µs each; it holds back
// everybody else's mmap meanwhile, so not often.
Result<size_t> MappingCount();

// Mappings that a process may have (vm.max_map_count).
Result<size_t> MaxMappingCount();

// /proc/self/smaps_rollup in bytes; a line that the kernel does not have stays 0.
struct MemoryFigures {
  size_t rss = 0;
  size_t pss = 0;
  size_t pss_anon = 0;
  size_t pss_file = 0;
  size_t pss_shmem = 0;
  size_t anonymous = 0;
  size_t anon_huge_pages = 0;
  size_t swap = 0;
  size_t swap_pss = 0;
  size_t locked = 0;
};

// Cost: walks every page table of the process: milliseconds for gigabytes.
Result<MemoryFigures> ReadMemoryFigures();

// Parses smaps_rollup's text; apart so that tests can hand it in.
MemoryFigures ParseMemoryFigures(std::string_view text);

struct PageFaults {
  uint64_t minor = 0;
  uint64_t major = 0;
};

Result<PageFaults> ReadPageFaults();

// The "Seccomp:" line of /proc/self/status: 0 off, 1 strict, 2 filtered. prctl(PR_GET_SECCOMP)
// would be a call that a filter may kill for.
Result<int> SeccompMode();

// Has core dumps hold private mappings of files, which the kernel leaves out as a rule (core(5),
// coredump_filter bit 2). Errors: no /proc, or not ours to write; dumps stay as they are.
Status DumpPrivateFiles();

// Monotonic time [ns] (vDSO; no system call as a rule).
uint64_t MonotonicNs();

// Processor time of the calling thread, and of all threads [ns].
uint64_t ThreadCpuNs();
uint64_t ProcessCpuNs();

// Lets other threads run first.
void YieldThread();

// Fills `bytes` with unpredictable bytes: getrandom(2), or, where that is refused or not yet
// seeded, the sixteen bytes that the kernel handed to this process at exec, mixed with clock and
// thread.
void RandomBytes(std::span<unsigned char> bytes);
uint64_t RandomSeed();

// A memory barrier on every running thread of this process (membarrier(2), PRIVATE_EXPEDITED).
// Errors: ENOSYS, EINVAL, EPERM: not to be had; MembarrierAll() needs one RegisterMembarrier()
// before, which a forked child inherits.
Status RegisterMembarrier();
Status MembarrierAll();

// Tells whether this process is a fork's child, at the price of one load: a page that the kernel
// clears in every child. Where the kernel refuses that (before 4.14), by comparing process ids.
// Thread rule: Arm() once, by one thread; was_forked() by any.
class ForkDetector {
 public:
  constexpr ForkDetector() = default;

  // In the child again after each fork. Errors: ENOMEM; was_forked() then compares process ids.
  Status Arm();

  bool was_forked() const {
    if (mark_ != nullptr) return *mark_ == 0;
    return armed_process_ != 0 && armed_process_ != ProcessId();
  }

 private:
  volatile uint32_t* mark_ = nullptr;
  int armed_process_ = 0;
};

}  // namespace mesh::os
