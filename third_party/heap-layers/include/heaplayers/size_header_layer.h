// SizeHeaderLayer: writes each object's size in front of it, so that any heap becomes a SizedHeap.
//
//   block below:  | size, padded to kAlignment | object ... |
//
// Threads: as the heap below; a header is written once, before its object is handed out.
#pragma once

#include <cstddef>

#include "heaplayers/arithmetic.h"
#include "heaplayers/contract.h"

namespace heaplayers {

template <class Super>
class SizeHeaderLayer : private Super {
  HEAP_LAYERS_REQUIRE(Super);

 public:
  static constexpr std::size_t kAlignment = Super::kAlignment;
  using Super::Super;

  void* malloc(std::size_t size) {
    return Stamp(Super::malloc(SaturatingAdd(size, kHeaderBytes)), size);
  }
  void* malloc_zeroed(std::size_t size) requires ZeroingHeap<Super> {
    return Stamp(Super::malloc_zeroed(SaturatingAdd(size, kHeaderBytes)), size);
  }
  void free(void* p) { Super::free(BlockOf(p)); }

  // Exactly the size that was asked for.
  std::size_t usable_size(const void* p) const {
    return *reinterpret_cast<const std::size_t*>(static_cast<const std::byte*>(p) - kHeaderBytes);
  }

  void* try_resize(void* p, std::size_t size) requires ResizingHeap<Super> {
    return Stamp(Super::try_resize(BlockOf(p), SaturatingAdd(size, kHeaderBytes)), size);
  }
  bool owns(const void* q) requires OwningHeap<Super> { return Super::owns(q); }
  void clear() requires ClearableHeap<Super> { Super::clear(); }

 private:
  static constexpr std::size_t kHeaderBytes = RoundUp(sizeof(std::size_t), kAlignment);

  static void* BlockOf(void* p) { return static_cast<std::byte*>(p) - kHeaderBytes; }

  static void* Stamp(void* block, std::size_t size) {
    if (block == nullptr) return nullptr;
    *static_cast<std::size_t*>(block) = size;
    return static_cast<std::byte*>(block) + kHeaderBytes;
  }
};

}  // namespace heaplayers
