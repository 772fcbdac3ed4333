// PosixAlignLayer: the aligned functions of C and POSIX over memalign(), with their rules for bad
// alignments: EINVAL, and the heap below is not asked.
//
// Above ErrnoLayer, whose ENOMEM the functions that report by errno pass on. Threads: as below.
#pragma once

#include <unistd.h>

#include <cerrno>
#include <cstddef>

#include "heaplayers/arithmetic.h"
#include "heaplayers/contract.h"

namespace heaplayers {

template <class Super>
class PosixAlignLayer : public Super {
  HEAP_LAYERS_REQUIRE(Super);
  HEAP_LAYERS_REQUIRE_ALSO(AligningHeap, Super, "memalign");

 public:
  using Super::Super;

  void* memalign(std::size_t alignment, std::size_t size) {
    if (IsPowerOfTwo(alignment)) return Super::memalign(alignment, size);
    errno = EINVAL;
    return nullptr;
  }

  // C17 no longer wants `size` to be a multiple of `alignment`.
  void* aligned_alloc(std::size_t alignment, std::size_t size) { return memalign(alignment, size); }

  // Returns: 0, EINVAL or ENOMEM. *result changes only on success, errno never.
  int posix_memalign(void** result, std::size_t alignment, std::size_t size) {
    if (!IsPowerOfTwo(alignment) || alignment < sizeof(void*)) return EINVAL;
    const int saved_errno = errno;
    void* p = Super::memalign(alignment, size);
    errno = saved_errno;
    if (p == nullptr) return ENOMEM;
    *result = p;
    return 0;
  }

  void* valloc(std::size_t size) { return Super::memalign(PageSize(), size); }

  // As valloc(), and the size is rounded up to whole pages, at least one.
  void* pvalloc(std::size_t size) {
    return Super::memalign(PageSize(), RoundUp(Larger(size, 1), PageSize()));
  }

 private:
  static std::size_t PageSize() { return static_cast<std::size_t>(sysconf(_SC_PAGESIZE)); }
};

}  // namespace heaplayers
