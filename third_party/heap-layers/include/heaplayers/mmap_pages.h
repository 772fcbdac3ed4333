// MmapPages: the Pages policy of PageSource over mmap(2), private and anonymous. The only system
// calls of this library are here, so that another policy can refuse, count or redirect them.
//
// Threads: any number at once. errno is kept, as the contract asks.
#pragma once

#include <sys/mman.h>

#include <cerrno>
#include <cstddef>

namespace heaplayers {

struct MmapPages {
  // Granule of lengths [bytes]. Kernels with larger pages round up further by themselves.
  static constexpr std::size_t kPageSize = 4096;

  // Returns: `length` zeroed bytes at a page boundary, or null.
  static void* Map(std::size_t length) {
    const int saved_errno = errno;
    void* base = mmap(nullptr, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    errno = saved_errno;
    return base == MAP_FAILED ? nullptr : base;
  }

  // Unmapping fails only when the process has used up its mappings and this one lies amid others;
  // then the pages stay mapped, and at least their memory goes back.
  static void Unmap(void* base, std::size_t length) {
    const int saved_errno = errno;
    if (munmap(base, length) != 0) madvise(base, length, MADV_DONTNEED);
    errno = saved_errno;
  }

  // Returns: the run's address, perhaps a new one, its content kept and new bytes zero; or null,
  // and the run is as before.
  static void* Remap(void* base, std::size_t length, std::size_t new_length) {
    const int saved_errno = errno;
    void* moved = mremap(base, length, new_length, MREMAP_MAYMOVE);
    errno = saved_errno;
    return moved == MAP_FAILED ? nullptr : moved;
  }
};

}  // namespace heaplayers
