// See sandbox.h.
#include "src/os/sandbox.h"

#include <linux/seccomp.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "src/base/units.h"
#include "src/os/file.h"
#include "src/os/memory.h"
#include "src/os/page_table.h"
#include "src/os/probe.h"
#include "src/os/process.h"
#include "src/os/raw_syscall.h"
#include "src/os/signals.h"

namespace mesh::os {
namespace {

int DoNothing(void*) { return 0; }

// Results do not matter: only a call that kills does.
void AskKernel() {
  static_cast<void>(ThreadCount());
  static_cast<void>(AnyOtherThreadBlocks(SIGSEGV));
  static_cast<void>(HasIoRing());
  static_cast<void>(MappingCount());
  static_cast<void>(MaxMappingCount());
  static_cast<void>(MembarrierAll());
  static_cast<void>(GetSignalAction(SIGSEGV));
  static_cast<void>(ThreadCpuNs());
  YieldThread();
  PageTable table;
  static_cast<void>(table.Open());
  const auto here = reinterpret_cast<uintptr_t>(&table) / kPageSize * kPageSize;
  static_cast<void>(table.CopiedPages(here, kPageSize));
}

// The address space is the parent's: what is mapped here goes again.
void MapAndUnmap() {
  MemoryFile file;
  static_cast<void>(file.Create());
  static_cast<void>(file.Resize(kPageSize));
  Result<uintptr_t> window = MapFileShared(file.descriptor(), 0, kPageSize);
  if (!window.ok()) window = MapSharedAnonymous(kPageSize);
  Result<uintptr_t> span = MapAnonymous(kPageSize);
  if (window.ok() && span.ok()) {
    static_cast<void>(Populate(window.value, kPageSize));
    static_cast<void>(Protect(span.value, kPageSize, Protection::kRead));
    static_cast<void>(Alias(window.value, kPageSize, span.value));
    static_cast<void>(MapFilePrivateFixed(file.descriptor(), 0, span.value, kPageSize));
    static_cast<void>(ReleasePages(span.value, kPageSize));
    static_cast<void>(PunchHole(window.value, kPageSize));
  }
  if (window.ok()) static_cast<void>(Unmap(window.value, kPageSize));
  if (span.ok()) static_cast<void>(Unmap(span.value, kPageSize));
  file.Close();
}

int TryFilter(void* program) {
  const long installed = RawSyscall(SYS_prctl, PR_SET_SECCOMP, SECCOMP_MODE_FILTER,
                                    reinterpret_cast<long>(program), 0, 0);
  if (IsRawError(installed)) return 0;
  AskKernel();
  MapAndUnmap();
  // Unusual calls are tried like this.
  static_cast<void>(ProbeInChild(&DoNothing, nullptr));
  return 0;
}

}  // namespace

bool SurvivesFilter(const void* program) {
  return ProbeInChild(&TryFilter, const_cast<void*>(program)).ok();
}

}  // namespace mesh::os
