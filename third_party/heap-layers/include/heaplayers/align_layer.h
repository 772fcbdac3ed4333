// AlignLayer: adds memalign() to a heap that has none, by asking for more and moving the start. The
// way back to the block is written in front of every object, aligned or not:
//
//   block below:  | (to align p) | lead, padded to kAlignment | object ... |
//                 <------------------ lead ------------------>
//
// Costs kAlignment bytes an object: for heaps below that cannot find a block's start themselves.
// Threads: as the heap below; there is no state.
#pragma once

#include <cstddef>

#include "heaplayers/arithmetic.h"
#include "heaplayers/contract.h"

namespace heaplayers {

template <class Super>
class AlignLayer : private Super {
  HEAP_LAYERS_REQUIRE(Super);

 public:
  static constexpr std::size_t kAlignment = Super::kAlignment;
  using Super::Super;

  void* malloc(std::size_t size) { return memalign(kAlignment, size); }

  void* memalign(std::size_t alignment, std::size_t size) {
    const std::size_t slack = Larger(alignment, kAlignment) - kAlignment;
    const std::size_t bytes = SaturatingAdd(size, SaturatingAdd(slack, kLeadBytes));
    return Place(Super::malloc(bytes), alignment);
  }
  void* malloc_zeroed(std::size_t size) requires ZeroingHeap<Super> {
    return Place(Super::malloc_zeroed(SaturatingAdd(size, kLeadBytes)), kAlignment);
  }

  void free(void* p) { Super::free(BlockOf(p)); }

  std::size_t usable_size(const void* p) requires SizedHeap<Super> {
    auto* block = static_cast<const std::byte*>(p) - LeadOf(p);
    return Super::usable_size(block) - LeadOf(p);
  }
  void* try_resize(void* p, std::size_t size) requires ResizingHeap<Super> {
    const std::size_t lead = LeadOf(p);  // moves with the block's content
    auto* block = static_cast<std::byte*>(Super::try_resize(BlockOf(p), SaturatingAdd(size, lead)));
    return block == nullptr ? nullptr : block + lead;
  }
  bool owns(const void* q) requires OwningHeap<Super> { return Super::owns(q); }
  void clear() requires ClearableHeap<Super> { Super::clear(); }

 private:
  static constexpr std::size_t kLeadBytes = RoundUp(sizeof(std::size_t), kAlignment);

  static std::size_t LeadOf(const void* p) {
    return *reinterpret_cast<const std::size_t*>(static_cast<const std::byte*>(p) - kLeadBytes);
  }
  static void* BlockOf(void* p) { return static_cast<std::byte*>(p) - LeadOf(p); }

  static void* Place(void* block, std::size_t alignment) {
    if (block == nullptr) return nullptr;
    const auto first = reinterpret_cast<std::size_t>(block) + kLeadBytes;
    const std::size_t lead = kLeadBytes + (RoundUp(first, alignment) - first);
    std::byte* p = static_cast<std::byte*>(block) + lead;
    *reinterpret_cast<std::size_t*>(p - kLeadBytes) = lead;
    return p;
  }
};

}  // namespace heaplayers
