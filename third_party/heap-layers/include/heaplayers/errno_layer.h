// ErrnoLayer: sets errno to ENOMEM where the heap below returns null, as POSIX asks of the malloc
// family. Goes above ReallocLayer and ZeroingLayer; on success errno is not looked at.
//
// Threads: as the heap below.
#pragma once

#include <cerrno>
#include <cstddef>

#include "heaplayers/contract.h"

namespace heaplayers {

template <class Super>
class ErrnoLayer : public Super {
  HEAP_LAYERS_REQUIRE(Super);

 public:
  using Super::Super;

  void* malloc(std::size_t size) { return Checked(Super::malloc(size)); }

  void* memalign(std::size_t alignment, std::size_t size) requires AligningHeap<Super> {
    return Checked(Super::memalign(alignment, size));
  }
  void* malloc_zeroed(std::size_t size) requires ZeroingHeap<Super> {
    return Checked(Super::malloc_zeroed(size));
  }
  void* calloc(std::size_t count, std::size_t size) requires CallocHeap<Super> {
    return Checked(Super::calloc(count, size));
  }
  void* realloc(void* p, std::size_t size) requires ReallocHeap<Super> {
    return Checked(Super::realloc(p, size));
  }

 private:
  static void* Checked(void* p) {
    if (__builtin_expect(p == nullptr, 0)) errno = ENOMEM;
    return p;
  }
};

}  // namespace heaplayers
