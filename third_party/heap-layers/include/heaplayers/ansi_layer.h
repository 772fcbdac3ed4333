// AnsiLayer: the rules of the C library for null pointers, size 0 and products that overflow; the
// top of a stack that serves as malloc. What is below never sees a null pointer.
//
// Below: ErrnoLayer (for errno), ReallocLayer; calloc() is ZeroingLayer's, the aligned functions
// are PosixAlignLayer's. Behaves as glibc where the standards leave a choice. Threads: as the heap
// below.
#pragma once

#include <cstddef>

#include "heaplayers/arithmetic.h"
#include "heaplayers/contract.h"

namespace heaplayers {

template <class Super>
class AnsiLayer : public Super {
  HEAP_LAYERS_REQUIRE(Super);
  HEAP_LAYERS_REQUIRE_ALSO(ReallocHeap, Super, "realloc");

 public:
  using Super::Super;

  void free(void* p) {
    if (p != nullptr) Super::free(p);
  }

  // Size 0 frees `p` and returns null, errno untouched.
  void* realloc(void* p, std::size_t size) {
    if (p == nullptr) return Super::malloc(size);
    if (size != 0) return Super::realloc(p, size);
    Super::free(p);
    return nullptr;
  }

  void* reallocarray(void* p, std::size_t count, std::size_t size) {
    return realloc(p, SaturatingMultiply(count, size));
  }

  // BSD: the object is freed also when it cannot be resized.
  void* reallocf(void* p, std::size_t size) {
    void* resized = realloc(p, size);
    if (resized == nullptr && size != 0) free(p);
    return resized;
  }

  std::size_t malloc_usable_size(const void* p) { return p == nullptr ? 0 : Super::usable_size(p); }
};

}  // namespace heaplayers
