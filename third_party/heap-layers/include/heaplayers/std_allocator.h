// StdAllocator: a heap as the allocator of a standard container,
//   std::vector<int, StdAllocator<int, MyHeap>> numbers(StdAllocator<int, MyHeap>(&my_heap));
// The heap outlives the container. Memory that cannot be had ends the process: containers have no
// other way to hear of it than an exception, and this library throws none.
//
// Threads: as the heap.
#pragma once

#include <cstddef>
#include <cstdlib>

#include "heaplayers/arithmetic.h"
#include "heaplayers/contract.h"

namespace heaplayers {

template <class T, class H>
class StdAllocator {
  HEAP_LAYERS_REQUIRE(H);
  static_assert(alignof(T) <= H::kAlignment || AligningHeap<H>, "H cannot align objects of type T");

 public:
  using value_type = T;

  explicit constexpr StdAllocator(H* heap) : heap_(heap) {}
  template <class U>
  constexpr StdAllocator(const StdAllocator<U, H>& other) : heap_(other.heap()) {}

  T* allocate(std::size_t count) {
    void* p = Allocate(SaturatingMultiply(count, sizeof(T)));
    if (p == nullptr) std::abort();
    return static_cast<T*>(p);
  }
  void deallocate(T* p, std::size_t) { heap_->free(p); }

  constexpr H* heap() const { return heap_; }

  template <class U>
  constexpr bool operator==(const StdAllocator<U, H>& other) const {
    return heap_ == other.heap();
  }

 private:
  void* Allocate(std::size_t bytes) {
    if constexpr (alignof(T) > H::kAlignment) {
      return heap_->memalign(alignof(T), bytes);
    } else {
      return heap_->malloc(bytes);
    }
  }

  H* heap_;
};

}  // namespace heaplayers
