// FallbackLayer: serves from First while it can, then from Second; free() asks First whether the
// object is its own. For a bounded fast heap before an unbounded one.
//
// Threads: as both heaps.
#pragma once

#include <cstddef>
#include <utility>

#include "heaplayers/arithmetic.h"
#include "heaplayers/contract.h"

namespace heaplayers {

template <class First, class Second>
class FallbackLayer {
  HEAP_LAYERS_REQUIRE(First);
  HEAP_LAYERS_REQUIRE(Second);
  HEAP_LAYERS_REQUIRE_ALSO(OwningHeap, First, "owns");

 public:
  static constexpr std::size_t kAlignment = Smaller(First::kAlignment, Second::kAlignment);

  constexpr FallbackLayer() = default;
  template <class A, class B>
  constexpr FallbackLayer(A&& first, B&& second)
      : first_(std::forward<A>(first)), second_(std::forward<B>(second)) {}

  void* malloc(std::size_t size) {
    void* p = first_.malloc(size);
    return p != nullptr ? p : second_.malloc(size);
  }
  void* memalign(std::size_t alignment,
                 std::size_t size) requires AligningHeap<First> && AligningHeap<Second> {
    void* p = first_.memalign(alignment, size);
    return p != nullptr ? p : second_.memalign(alignment, size);
  }
  void free(void* p) { first_.owns(p) ? first_.free(p) : second_.free(p); }

  std::size_t usable_size(const void* p) requires SizedHeap<First> && SizedHeap<Second> {
    return first_.owns(p) ? first_.usable_size(p) : second_.usable_size(p);
  }
  bool owns(const void* q) requires OwningHeap<Second> { return first_.owns(q) || second_.owns(q); }
  void clear() requires ClearableHeap<First> && ClearableHeap<Second> {
    first_.clear();
    second_.clear();
  }

 private:
  [[no_unique_address]] First first_;
  [[no_unique_address]] Second second_;
};

}  // namespace heaplayers
