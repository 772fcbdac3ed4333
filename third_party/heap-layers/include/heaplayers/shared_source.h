// Sources that begin a stack on a heap which lives elsewhere, so that several stacks can share it:
//   RefSource<H>       holds a pointer to it: SomeLayer<RefSource<H>> heap(&shared);
//   StaticSource<kH>   names a heap in static storage and has no state: StaticSource<g_shared>
// Both offer exactly what the shared heap offers.
//
// Threads: as the shared heap.
#pragma once

#include <cstddef>
#include <type_traits>

#include "heaplayers/contract.h"

namespace heaplayers {

template <class H>
class ByPointer {
 public:
  using Target = H;
  explicit constexpr ByPointer(H* heap) : heap_(heap) {}
  constexpr H& heap() const { return *heap_; }

 private:
  H* heap_;
};

template <auto& kHeap>
struct ByName {
  using Target = std::remove_reference_t<decltype(kHeap)>;
  static constexpr Target& heap() { return kHeap; }
};

template <class Access>
class SharedSource : private Access {
  using H = typename Access::Target;
  HEAP_LAYERS_REQUIRE(H);

 public:
  static constexpr std::size_t kAlignment = H::kAlignment;
  using Access::Access;

  void* malloc(std::size_t size) { return this->heap().malloc(size); }
  void free(void* p) { this->heap().free(p); }

  std::size_t usable_size(const void* p) requires SizedHeap<H> {
    return this->heap().usable_size(p);
  }
  void* memalign(std::size_t alignment, std::size_t size) requires AligningHeap<H> {
    return this->heap().memalign(alignment, size);
  }
  void* malloc_zeroed(std::size_t size) requires ZeroingHeap<H> {
    return this->heap().malloc_zeroed(size);
  }
  void* try_resize(void* p, std::size_t size) requires ResizingHeap<H> {
    return this->heap().try_resize(p, size);
  }
  bool owns(const void* q) requires OwningHeap<H> { return this->heap().owns(q); }
  void clear() requires ClearableHeap<H> { this->heap().clear(); }
};

template <class H>
using RefSource = SharedSource<ByPointer<H>>;

template <auto& kHeap>
using StaticSource = SharedSource<ByName<kHeap>>;

}  // namespace heaplayers
