// FreelistLayer: keeps freed objects, linked through their first word, and hands the newest out
// again. The heap below sees neither frees nor second uses.
//
// All requests to one FreelistLayer have the same size: it is the heap of one size class (see
// SegregatedLayer). Memory goes back below by clear() only.
// Threads: one at a time.
#pragma once

#include <cstddef>
#include <new>

#include "heaplayers/arithmetic.h"
#include "heaplayers/contract.h"

namespace heaplayers {

template <class Super>
class FreelistLayer : private Super {
  HEAP_LAYERS_REQUIRE(Super);
  struct Link {
    Link* next;
  };

 public:
  static constexpr std::size_t kAlignment = Super::kAlignment;

  using Super::Super;
  constexpr FreelistLayer() = default;
  FreelistLayer(const FreelistLayer&) = delete;
  FreelistLayer& operator=(const FreelistLayer&) = delete;

  void* malloc(std::size_t size) {
    if (head_ == nullptr) return Super::malloc(Larger(size, sizeof(Link)));
    Link* first = head_;
    head_ = first->next;
    return first;
  }

  void free(void* p) { head_ = ::new (p) Link{head_}; }

  std::size_t usable_size(const void* p) requires SizedHeap<Super> { return Super::usable_size(p); }
  bool owns(const void* q) requires OwningHeap<Super> { return Super::owns(q); }

  void clear() requires ClearableHeap<Super> {
    head_ = nullptr;
    Super::clear();
  }

 private:
  Link* head_ = nullptr;
};

}  // namespace heaplayers
