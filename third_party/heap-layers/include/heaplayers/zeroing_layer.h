// ZeroingLayer: adds malloc_zeroed() by clearing, unless the heap below knows better, and calloc().
//
// Threads: as the heap below; the clearing is done by the caller on an object that is its own.
#pragma once

#include <cstddef>
#include <cstring>

#include "heaplayers/arithmetic.h"
#include "heaplayers/contract.h"

namespace heaplayers {

// Clears the first `size` bytes of `p`, which may be null. Returns `p`.
inline void* Cleared(void* p, std::size_t size) {
  if (p != nullptr) std::memset(p, 0, size);
  return p;
}

// malloc_zeroed() for any heap: its own if it has one.
template <class H>
void* MallocZeroed(H& heap, std::size_t size) {
  if constexpr (ZeroingHeap<H>) {
    return heap.malloc_zeroed(size);
  } else {
    return Cleared(heap.malloc(size), size);
  }
}

template <class Super>
class ZeroingLayer : public Super {
  HEAP_LAYERS_REQUIRE(Super);

 public:
  using Super::Super;

  void* malloc_zeroed(std::size_t size) { return MallocZeroed(static_cast<Super&>(*this), size); }

  void* calloc(std::size_t count, std::size_t size) {
    return malloc_zeroed(SaturatingMultiply(count, size));
  }
};

}  // namespace heaplayers
