// HybridLayer: small requests go to one heap, large ones to another, as the Route policy tells by
// size at malloc() and by address afterwards. All decisions are the policy's and inline away.
//
// Threads: as both heaps.
#pragma once

#include <cstddef>
#include <utility>

#include "heaplayers/arithmetic.h"
#include "heaplayers/contract.h"
#include "heaplayers/zeroing_layer.h"

namespace heaplayers {

// A Route decides twice, and both times alike:
//   IsLargeRequest(alignment, size)   before there is an object
//   IsLargeObject(small, large, p)    for an object of either heap
// ThresholdRoute: large is what exceeds kMaxSmall [bytes] in size or alignment; for objects it asks
// whichever heap can tell its own.
template <std::size_t kMaxSmall>
struct ThresholdRoute {
  static constexpr bool IsLargeRequest(std::size_t alignment, std::size_t size) {
    return size > kMaxSmall || alignment > kMaxSmall;
  }
  template <class Small, class Large>
  static bool IsLargeObject(Small& small, Large& large, const void* p) {
    static_assert(OwningHeap<Small> || OwningHeap<Large>, "ThresholdRoute needs `bool owns(q)`");
    if constexpr (OwningHeap<Small>) {
      return !small.owns(p);
    } else {
      return large.owns(p);
    }
  }
};

template <class Route, class Small, class Large>
class HybridLayer {
  HEAP_LAYERS_REQUIRE(Small);
  HEAP_LAYERS_REQUIRE(Large);

 public:
  static constexpr std::size_t kAlignment = Smaller(Small::kAlignment, Large::kAlignment);

  constexpr HybridLayer() = default;
  template <class A, class B>
  constexpr HybridLayer(A&& small, B&& large)
      : small_(std::forward<A>(small)), large_(std::forward<B>(large)) {}

  void* malloc(std::size_t size) {
    return Route::IsLargeRequest(kAlignment, size) ? large_.malloc(size) : small_.malloc(size);
  }
  void* malloc_zeroed(std::size_t size) {
    return Route::IsLargeRequest(kAlignment, size) ? MallocZeroed(large_, size)
                                                   : MallocZeroed(small_, size);
  }
  void* memalign(std::size_t alignment,
                 std::size_t size) requires AligningHeap<Small> && AligningHeap<Large> {
    return Route::IsLargeRequest(alignment, size) ? large_.memalign(alignment, size)
                                                  : small_.memalign(alignment, size);
  }

  void free(void* p) { IsLarge(p) ? large_.free(p) : small_.free(p); }

  std::size_t usable_size(const void* p) requires SizedHeap<Small> && SizedHeap<Large> {
    return IsLarge(p) ? large_.usable_size(p) : small_.usable_size(p);
  }

  // An object never changes heaps here: its new size has to be one that its heap serves.
  void* try_resize(void* p, std::size_t size) requires(ResizingHeap<Small> || ResizingHeap<Large>) {
    const bool is_large = IsLarge(p);
    if (is_large != Route::IsLargeRequest(kAlignment, size)) return nullptr;
    return is_large ? Resize(large_, p, size) : Resize(small_, p, size);
  }

  bool owns(const void* q) requires OwningHeap<Small> && OwningHeap<Large> {
    return small_.owns(q) || large_.owns(q);
  }
  void clear() requires ClearableHeap<Small> && ClearableHeap<Large> {
    small_.clear();
    large_.clear();
  }

 private:
  bool IsLarge(const void* p) { return Route::IsLargeObject(small_, large_, p); }

  template <class H>
  static void* Resize(H& heap, void* p, std::size_t size) {
    if constexpr (ResizingHeap<H>) return heap.try_resize(p, size);
    return nullptr;
  }

  [[no_unique_address]] Small small_;
  [[no_unique_address]] Large large_;
};

}  // namespace heaplayers
