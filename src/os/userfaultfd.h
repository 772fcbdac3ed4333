// userfaultfd(2) in write-protect mode: writers to a protected page wait in the kernel.
//
// Nobody reads fault messages from the descriptor: who protected a range wakes its writers.
// Room: os. Thread rule: the owner's lock, save is_open() and descriptor(). Allocates nothing.
//
// [U1] A descriptor acts on the memory of the process that opened it, whoever holds it. So every
//      call compares the process id first and answers EBADF in another process.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "src/os/file.h"
#include "src/os/result.h"

namespace mesh::os {

enum class UserfaultMode : uint8_t {
  kFull,      // stores by the kernel (read(2) into a buffer) wait as well; needs a privilege
  kUserOnly,  // a system call that writes to a protected page fails with EFAULT; anybody
};

class Userfaultfd {
 public:
  constexpr Userfaultfd() = default;
  Userfaultfd(const Userfaultfd&) = delete;
  Userfaultfd& operator=(const Userfaultfd&) = delete;

  // Opens and agrees on features: write protection of present and not-present pages, of private and
  // shared memory (kernel 6.4). For kFull: userfaultfd(2), then /dev/userfaultfd. Under a seccomp
  // filter in a throwaway child first. Must not be open.
  // Errors: EPERM, ENOSYS, ENOENT, EACCES: not to be had; EINVAL: kernel too old; ECHILD: a filter
  //         killed the child that tried.
  Status Open(UserfaultMode mode);

  // Closes, if the descriptor is still ours. Every registration goes with it, protected pages
  // become writable, and whoever waits goes on. In another process: closes that process's copy.
  // Returns: false when the kernel does not say whether it is ours still: it was left alone, and
  // what is protected may be so for ever.
  bool Close();

  // The program closed or replaced the descriptor: forgets it and touches nothing.
  void Forget();

  // False when the descriptor is not the one that Open() got, or belongs to another process. [U1]
  bool IsOurs() const;

  // Registers mappings for write protection; again is harmless. Holes in the range are not noticed.
  // Errors: EBUSY: another userfaultfd has a part; EINVAL: memory that cannot be protected.
  Status Register(uintptr_t address, size_t length);

  // Ends it: pages become writable and waiters go on.
  Status Unregister(uintptr_t address, size_t length);

  // Makes stores to the range wait. Errors: ENOENT: a part is not registered; a part before it may
  // be protected then: Unprotect() and Wake() the same range.
  Status WriteProtect(uintptr_t address, size_t length);

  // Lets stores through again and wakes who waits in the range. When it fails, the part before the
  // mapping that is not registered is writable and nobody has been woken.
  Status Unprotect(uintptr_t address, size_t length);

  // Wakes who waits in the range; they try their store again. Needs no registration.
  Status Wake(uintptr_t address, size_t length);

  bool is_open() const { return descriptor() >= 0; }
  int descriptor() const {
    // order: relaxed; interposed close() compares numbers and takes the owner's lock if equal.
    return descriptor_.load(std::memory_order_relaxed);
  }

 private:
  void SetDescriptor(int descriptor) {
    // order: relaxed; see descriptor().
    descriptor_.store(descriptor, std::memory_order_relaxed);
  }

  std::atomic<int> descriptor_{-1};
  int process_ = 0;
  FileIdentity identity_;
};

}  // namespace mesh::os
