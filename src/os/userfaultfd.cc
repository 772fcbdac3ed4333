// See userfaultfd.h.
#include "src/os/userfaultfd.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>

#include "src/base/check.h"
#include "src/os/gated_call.h"
#include "src/os/probe.h"
#include "src/os/process.h"

// Younger than the oldest headers that we build with. linux/userfaultfd.h.
#ifndef UFFD_USER_MODE_ONLY
#define UFFD_USER_MODE_ONLY 1
#endif
#ifndef USERFAULTFD_IOC_NEW
#define USERFAULTFD_IOC_NEW _IO(0xAA, 0x00)
#endif
#ifndef UFFD_FEATURE_WP_HUGETLBFS_SHMEM
#define UFFD_FEATURE_WP_HUGETLBFS_SHMEM (1 << 12)
#endif
#ifndef UFFD_FEATURE_WP_UNPOPULATED
#define UFFD_FEATURE_WP_UNPOPULATED (1 << 13)
#endif

namespace mesh::os {
namespace {

constexpr uint64_t kFeatures =
    UFFD_FEATURE_PAGEFAULT_FLAG_WP | UFFD_FEATURE_WP_HUGETLBFS_SHMEM | UFFD_FEATURE_WP_UNPOPULATED;
constexpr long kOpenFlags = O_CLOEXEC | O_NONBLOCK;

Result<long> OpenDevice() {
  Result<long> device =
      GatedCall(Call::kOpen, SYS_openat, AT_FDCWD, "/dev/userfaultfd", O_RDWR | O_CLOEXEC, 0);
  if (!device.ok()) return device;
  Result<long> opened =
      GatedCall(Call::kUserfaultfdOpen, SYS_ioctl, device.value, USERFAULTFD_IOC_NEW, kOpenFlags);
  static_cast<void>(CloseDescriptor(static_cast<int>(device.value)).ok());
  return opened;
}

Result<long> OpenAnyWay(UserfaultMode mode) {
  if (mode == UserfaultMode::kUserOnly) {
    return GatedCall(Call::kUserfaultfdOpen, SYS_userfaultfd, kOpenFlags | UFFD_USER_MODE_ONLY);
  }
  Result<long> opened = GatedCall(Call::kUserfaultfdOpen, SYS_userfaultfd, kOpenFlags);
  if (opened.ok()) return opened;
  Result<long> by_device = OpenDevice();
  return by_device.ok() ? by_device : opened;
}

// Opens and agrees on the features. Safe in ProbeInChild.
Result<int> OpenWithFeatures(UserfaultMode mode) {
  Result<long> opened = OpenAnyWay(mode);
  if (!opened.ok()) return {-1, opened.error};
  const int descriptor = static_cast<int>(opened.value);
  struct uffdio_api api = {};
  api.api = UFFD_API;
  api.features = kFeatures;
  Status agreed = GatedStatus(Call::kUserfaultfdHandshake, SYS_ioctl, descriptor, UFFDIO_API, &api);
  if (agreed.ok()) return {descriptor, 0};
  static_cast<void>(CloseDescriptor(descriptor).ok());
  return {-1, agreed.error};
}

// What ProbeInChild runs: errno of the attempt. Makes the range calls as well, on nothing, since a
// filter may look into ioctl's second argument.
int TryToOpen(void* mode) {
  Result<int> opened = OpenWithFeatures(*static_cast<UserfaultMode*>(mode));
  if (!opened.ok()) return opened.error;
  for (unsigned long request :
       {static_cast<unsigned long>(UFFDIO_REGISTER), static_cast<unsigned long>(UFFDIO_UNREGISTER),
        static_cast<unsigned long>(UFFDIO_WRITEPROTECT), static_cast<unsigned long>(UFFDIO_WAKE)}) {
    RawSyscall(SYS_ioctl, opened.value, static_cast<long>(request), 0);
  }
  return 0;
}

}  // namespace

Status Userfaultfd::Open(UserfaultMode mode) {
  MESH_DCHECK(!is_open());
  if (UnusualCallsMayKill()) {
    Result<int> tried = ProbeInChild(&TryToOpen, &mode);
    if (!tried.ok()) return {tried.error};
    if (tried.value != 0) return {tried.value};
  }
  Result<OpenedFile> opened = OpenOutOfTheWay(
      [](void* wanted) { return OpenWithFeatures(*static_cast<UserfaultMode*>(wanted)); }, &mode);
  if (!opened.ok()) return {opened.error};
  identity_ = opened.value.identity;
  process_ = ProcessId();
  SetDescriptor(opened.value.descriptor);
  return {0};
}

bool Userfaultfd::Close() {
  Result<FileIdentity> found = IdentityOf(descriptor());
  if (found.ok() && found.value == identity_) {
    static_cast<void>(CloseDescriptor(descriptor()).ok());
  }
  Forget();
  return found.ok() || found.error == EBADF;
}

void Userfaultfd::Forget() {
  SetDescriptor(-1);
  process_ = 0;
  identity_ = {};
}

bool Userfaultfd::IsOurs() const {
  return process_ == ProcessId() && IsStillOurs(descriptor(), identity_);
}

Status Userfaultfd::Register(uintptr_t address, size_t length) {
  if (process_ != ProcessId()) return {EBADF};
  struct uffdio_register request = {};
  request.range = {address, length};
  request.mode = UFFDIO_REGISTER_MODE_WP;
  Status registered =
      GatedStatus(Call::kUserfaultfdRegister, SYS_ioctl, descriptor(), UFFDIO_REGISTER, &request);
  if (!registered.ok()) return registered;
  if ((request.ioctls & (uint64_t{1} << _UFFDIO_WRITEPROTECT)) != 0) return registered;
  static_cast<void>(Unregister(address, length).ok());
  return {EINVAL};
}

Status Userfaultfd::Unregister(uintptr_t address, size_t length) {
  if (process_ != ProcessId()) return {EBADF};
  struct uffdio_range range = {address, length};
  Status ended =
      GatedStatus(Call::kUserfaultfdUnregister, SYS_ioctl, descriptor(), UFFDIO_UNREGISTER, &range);
  // The kernel wakes for registrations of another mode only (fs/userfaultfd.c, 6.18).
  Status woken = Wake(address, length);
  return ended.ok() ? woken : ended;
}

Status Userfaultfd::WriteProtect(uintptr_t address, size_t length) {
  if (process_ != ProcessId()) return {EBADF};
  struct uffdio_writeprotect request = {{address, length}, UFFDIO_WRITEPROTECT_MODE_WP};
  return GatedStatus(Call::kUserfaultfdWriteProtect, SYS_ioctl, descriptor(), UFFDIO_WRITEPROTECT,
                     &request);
}

Status Userfaultfd::Unprotect(uintptr_t address, size_t length) {
  if (process_ != ProcessId()) return {EBADF};
  struct uffdio_writeprotect request = {{address, length}, 0};
  return GatedStatus(Call::kUserfaultfdWriteProtect, SYS_ioctl, descriptor(), UFFDIO_WRITEPROTECT,
                     &request);
}

Status Userfaultfd::Wake(uintptr_t address, size_t length) {
  if (process_ != ProcessId()) return {EBADF};
  struct uffdio_range range = {address, length};
  return GatedStatus(Call::kUserfaultfdWake, SYS_ioctl, descriptor(), UFFDIO_WAKE, &range);
}

}  // namespace mesh::os
