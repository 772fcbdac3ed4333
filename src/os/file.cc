// See file.h.
#include "src/os/file.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/memfd.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "src/base/check.h"
#include "src/os/descriptor_gate.h"
#include "src/os/gated_call.h"
#include "src/os/probe.h"
#include "src/os/signals.h"

// linux/memfd.h since 6.3: without it the kernel logs a warning, and may refuse (memfd_noexec=2).
#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U
#endif

namespace mesh::os {
namespace {

Status Stat(int descriptor, struct stat* out) {
  return GatedStatus(Call::kStat, SYS_fstat, descriptor, out);
}

Result<uint64_t> SoftLimit(int resource) {
  struct rlimit limit;
  Status asked = GatedStatus(Call::kLimit, SYS_prlimit64, 0, resource, nullptr, &limit);
  return {static_cast<uint64_t>(limit.rlim_cur), asked.error};
}

Result<int> MakeMemoryFile() {
  Result<long> made =
      GatedCall(Call::kMemoryFile, SYS_memfd_create, "mesh", MFD_CLOEXEC | MFD_NOEXEC_SEAL);
  if (made.error == EINVAL) {
    made = GatedCall(Call::kMemoryFile, SYS_memfd_create, "mesh", MFD_CLOEXEC);
  }
  return {static_cast<int>(made.value), made.error};
}

// What ProbeInChild runs: errno of the attempt. Sizes the file as well, and lets go of it.
int TryMemoryFile(void*) {
  Result<int> made = MakeMemoryFile();
  if (!made.ok()) return made.error;
  RawSyscall(SYS_ftruncate, made.value, 0);
  return 0;
}

}  // namespace

Result<FileIdentity> IdentityOf(int descriptor) {
  struct stat found;
  Status asked = Stat(descriptor, &found);
  if (!asked.ok()) return {{}, asked.error};
  return {{static_cast<uint64_t>(found.st_dev), static_cast<uint64_t>(found.st_ino)}, 0};
}

bool IsStillOurs(int descriptor, FileIdentity identity) {
  if (descriptor < 0) return false;
  Result<FileIdentity> found = IdentityOf(descriptor);
  return found.ok() && found.value == identity;
}

namespace {

// Moves a descriptor out of the program's way: to the high end of what is allowed by default.
// Returns: the new number, or `descriptor` when it stays.
int MoveDescriptorUp(int descriptor) {
  // A table of 1024 descriptors is what every process may have by default; higher numbers would
  // make the kernel grow it. Sixteen places are left for other libraries that do the same.
  constexpr uint64_t kTableSize = 1024;
  constexpr uint64_t kPlaces = 16;
  Result<uint64_t> limit = SoftLimit(RLIMIT_NOFILE);
  if (!limit.ok() || limit.value <= kPlaces) return descriptor;
  const uint64_t lowest = (limit.value < kTableSize ? limit.value : kTableSize) - kPlaces;
  Result<long> moved = GatedCall(Call::kDescriptor, SYS_fcntl, descriptor, F_DUPFD_CLOEXEC, lowest);
  if (!moved.ok()) return descriptor;
  static_cast<void>(CloseDescriptor(descriptor).ok());
  return static_cast<int>(moved.value);
}

}  // namespace

Result<OpenedFile> OpenOutOfTheWay(Result<int> (*open)(void*), void* argument) {
  OpeningScope scope;
  if (Status begun = scope.Begin(); !begun.ok()) return {{}, begun.error};
  Result<OpenedFile> result;
  Result<int> opened = open(argument);
  result.error = opened.error;
  if (opened.ok()) {
    result.value.descriptor = MoveDescriptorUp(opened.value);
    Result<FileIdentity> identity = IdentityOf(result.value.descriptor);
    result.value.identity = identity.value;
    result.error = identity.error;
    if (!identity.ok()) static_cast<void>(CloseDescriptor(result.value.descriptor).ok());
  }
  return result;
}

// A test's refusal comes after the call, as the kernel's own: close(2) fails when the descriptor is
// gone already.
Status CloseDescriptor(int descriptor) {
  long result = RawSyscall(SYS_close, descriptor);
  if (int error = InjectedFault(Call::kClose); error != 0) return {error};
  return {IsRawError(result) ? static_cast<int>(-result) : 0};
}

Status MemoryFile::Create() {
  MESH_DCHECK(!is_open());
  if (UnusualCallsMayKill()) {
    Result<int> tried = ProbeInChild(&TryMemoryFile, nullptr);
    if (!tried.ok()) return {tried.error};
    if (tried.value != 0) return {tried.value};
  }
  Result<OpenedFile> made = OpenOutOfTheWay([](void*) { return MakeMemoryFile(); }, nullptr);
  if (!made.ok()) return {made.error};
  descriptor_ = made.value.descriptor;
  identity_ = made.value.identity;
  return {0};
}

Status MemoryFile::Resize(size_t size) {
  if (!IsOurs()) return {EBADF};
  // The kernel answers a size above the limit with SIGXFSZ, which ends the program. Another thread
  // may lower the limit between question and call, hence the guard as well.
  Result<uint64_t> limit = SoftLimit(RLIMIT_FSIZE);
  if (!limit.ok()) return {limit.error};
  if (size > limit.value) return {EFBIG};
  FileSizeSignalGuard guard;
  if (!guard.status().ok()) return guard.status();
  return GatedStatus(Call::kTruncate, SYS_ftruncate, descriptor_, size);
}

Result<size_t> MemoryFile::AllocatedBytes() const {
  if (!IsOurs()) return {0, EBADF};
  struct stat found;
  Status asked = Stat(descriptor_, &found);
  if (!asked.ok()) return {0, asked.error};
  constexpr size_t kBlock = 512;  // unit of st_blocks, stat(2)
  return {static_cast<size_t>(found.st_blocks) * kBlock, 0};
}

bool MemoryFile::IsOurs() const { return IsStillOurs(descriptor_, identity_); }

void MemoryFile::Close() {
  if (IsOurs()) static_cast<void>(CloseDescriptor(descriptor_).ok());
  descriptor_ = -1;
  identity_ = {};
}

FileReader::~FileReader() {
  if (descriptor_ >= 0) static_cast<void>(CloseDescriptor(descriptor_).ok());
}

Status FileReader::Open(const char* path) {
  MESH_DCHECK(descriptor_ < 0);
  if (Status begun = scope_.Begin(); !begun.ok()) return begun;
  Result<long> opened = GatedCall(Call::kOpen, SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0);
  if (opened.ok()) descriptor_ = static_cast<int>(opened.value);
  return {opened.error};
}

void FileReader::GetOutOfTheWay() { descriptor_ = MoveDescriptorUp(descriptor_); }

Result<size_t> FileReader::Read(std::span<char> buffer) {
  Result<long> got;
  do {
    got = GatedCall(Call::kRead, SYS_read, descriptor_, buffer.data(), buffer.size());
  } while (got.error == EINTR);
  return {got.ok() ? static_cast<size_t>(got.value) : 0, got.error};
}

Result<size_t> FileReader::ReadEntries(std::span<char> buffer) {
  Result<long> got =
      GatedCall(Call::kRead, SYS_getdents64, descriptor_, buffer.data(), buffer.size());
  return {got.ok() ? static_cast<size_t>(got.value) : 0, got.error};
}

Result<size_t> ReadSmallFile(const char* path, std::span<char> buffer) {
  FileReader file;
  if (Status opened = file.Open(path); !opened.ok()) return {0, opened.error};
  size_t size = 0;
  while (size < buffer.size()) {
    Result<size_t> got = file.Read(buffer.subspan(size));
    if (!got.ok()) return {0, got.error};
    if (got.value == 0) break;
    size += got.value;
  }
  return {size, 0};
}

Status WriteSmallFile(const char* path, std::string_view text) {
  OpeningScope scope;
  if (Status begun = scope.Begin(); !begun.ok()) return begun;
  Result<long> file = GatedCall(Call::kOpen, SYS_openat, AT_FDCWD, path, O_WRONLY | O_CLOEXEC);
  if (!file.ok()) return {file.error};
  Status written = WriteAll(static_cast<int>(file.value), text);
  static_cast<void>(CloseDescriptor(static_cast<int>(file.value)).ok());
  return written;
}

Status WriteAll(int descriptor, std::string_view text) {
  while (!text.empty()) {
    Result<long> wrote = GatedCall(Call::kWrite, SYS_write, descriptor, text.data(), text.size());
    if (wrote.error == EINTR) continue;
    if (!wrote.ok()) return {wrote.error};
    text.remove_prefix(static_cast<size_t>(wrote.value));
  }
  return {0};
}

}  // namespace mesh::os
