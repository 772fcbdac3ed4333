// ReallocLayer: adds realloc(): in place where the object is large enough and not far too large, by
// try_resize() where the heap below can, else by a copy.
//
// Threads: as the heap below; the copying is done outside of any lock below.
#pragma once

#include <cstddef>
#include <cstring>

#include "heaplayers/arithmetic.h"
#include "heaplayers/contract.h"

namespace heaplayers {

// InPlace policy: an object stays where it is until less than half of it would be used. So a size
// that goes up and down a little is not copied each time, and waste is bounded by the live bytes.
struct KeepIfHalfUsed {
  static constexpr bool Keeps(std::size_t usable, std::size_t size) {
    return size <= usable && size >= usable / 2;
  }
  // Bytes to ask for when an object has to move; more than `size` leaves it room to grow.
  static constexpr std::size_t Wanted(std::size_t /*usable*/, std::size_t size) { return size; }
};

template <class InPlace, class Super>
class ReallocLayer : public Super {
  HEAP_LAYERS_REQUIRE(Super);
  HEAP_LAYERS_REQUIRE_ALSO(SizedHeap, Super, "usable_size");

 public:
  using Super::Super;

  // Errors: null only for growth; shrinking that finds no memory leaves the object as it is.
  void* realloc(void* p, std::size_t size) {
    const std::size_t usable = Super::usable_size(p);
    if (InPlace::Keeps(usable, size)) return p;
    if constexpr (ResizingHeap<Super>) {
      if (void* resized = Super::try_resize(p, size)) return resized;
    }
    const std::size_t wanted = InPlace::Wanted(usable, size);
    void* fresh = wanted > size ? MallocRoomy(wanted) : nullptr;
    if (fresh == nullptr) fresh = Super::malloc(size);
    if (fresh == nullptr) return size <= usable ? p : nullptr;
    std::memcpy(fresh, p, Smaller(usable, size));
    Super::free(p);
    return fresh;
  }

 private:
  // More than is needed: a heap that asks its user for memory before it refuses need not ask now.
  void* MallocRoomy(std::size_t size) {
    if constexpr (requires(Super & super) { super.malloc_if_any(size); }) {
      return Super::malloc_if_any(size);
    } else {
      return Super::malloc(size);
    }
  }
};

}  // namespace heaplayers
