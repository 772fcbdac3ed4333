// See limits.h.
#include "src/os/limits.h"

#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>

#include <cstdint>

#include "src/base/units.h"
#include "src/os/gated_call.h"

namespace mesh::os {

Result<size_t> AddressSpaceLimit() {
  rlimit limit{};
  Result<long> call = GatedCall(Call::kLimit, SYS_prlimit64, 0, RLIMIT_AS, nullptr, &limit);
  if (!call.ok()) return {SIZE_MAX, call.error};
  return {limit.rlim_cur == RLIM_INFINITY ? SIZE_MAX : static_cast<size_t>(limit.rlim_cur), 0};
}

size_t CommittablePages() {
  struct sysinfo info {};
  if (!GatedCall(Call::kLimit, SYS_sysinfo, &info).ok()) return SIZE_MAX;
  return (size_t{info.totalram} + info.totalswap) * info.mem_unit / kPageSize;
}

}  // namespace mesh::os
