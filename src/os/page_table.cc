// See page_table.h.
#include "src/os/page_table.h"

#include <fcntl.h>
#include <sys/syscall.h>

#include <cerrno>

#include "src/base/units.h"
#include "src/os/file.h"
#include "src/os/gated_call.h"

namespace mesh::os {
namespace {

// Flags of an entry. Documentation/admin-guide/mm/pagemap.rst of the kernel.
constexpr uint64_t kPresent = uint64_t{1} << 63;
constexpr uint64_t kSwapped = uint64_t{1} << 62;
constexpr uint64_t kOfFile = uint64_t{1} << 61;  // or shared anonymous: not our own copy

}  // namespace

PageTable::~PageTable() {
  if (descriptor_ >= 0) static_cast<void>(CloseDescriptor(descriptor_));
}

Status PageTable::Open() {
  if (Status begun = scope_.Begin(); !begun.ok()) return begun;
  Result<long> opened =
      GatedCall(Call::kOpen, SYS_openat, AT_FDCWD, "/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
  if (!opened.ok()) return {opened.error};
  descriptor_ = static_cast<int>(opened.value);
  return {0};
}

Result<size_t> PageTable::CopiedPages(uintptr_t address, size_t length) const {
  uint64_t entries[kMaxLength / kPageSize];
  size_t wanted = length / kPageSize * sizeof(entries[0]);
  uintptr_t offset = address / kPageSize * sizeof(entries[0]);
  Result<long> got = GatedCall(Call::kRead, SYS_pread64, descriptor_, entries, wanted, offset);
  if (!got.ok()) return {0, got.error};
  if (static_cast<size_t>(got.value) != wanted) return {0, EIO};
  size_t copied = 0;
  for (size_t i = 0; i < length / kPageSize; i++) {
    bool there = (entries[i] & (kPresent | kSwapped)) != 0;
    if (there && (entries[i] & kOfFile) == 0) copied++;
  }
  return {copied, 0};
}

}  // namespace mesh::os
