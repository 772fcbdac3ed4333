// CountingLayer: counts objects and usable bytes, now and at most. What it counts is what passes
// through it, so it can sit at any height: above a FreelistLayer it sees the program's objects,
// below it the memory that was taken.
//
//   objects alive == allocations - frees;  live_bytes == sum of their usable sizes
// Threads: as the heap below and the Counter; with AtomicCounter each number is right by itself,
// the sums only while nobody allocates.
#pragma once

#include <cstddef>
#include <cstdint>

#include "heaplayers/contract.h"

namespace heaplayers {

struct HeapCounts {
  std::int64_t allocations;
  std::int64_t frees;
  std::int64_t live_bytes;
  std::int64_t peak_bytes;  // the largest live_bytes so far
};

template <class Counter, class Super>
class CountingLayer : private Super {
  HEAP_LAYERS_REQUIRE(Super);
  HEAP_LAYERS_REQUIRE_ALSO(SizedHeap, Super, "usable_size");

 public:
  static constexpr std::size_t kAlignment = Super::kAlignment;
  using Super::Super;

  void* malloc(std::size_t size) { return Count(Super::malloc(size)); }
  void* memalign(std::size_t alignment, std::size_t size) requires AligningHeap<Super> {
    return Count(Super::memalign(alignment, size));
  }
  void* malloc_zeroed(std::size_t size) requires ZeroingHeap<Super> {
    return Count(Super::malloc_zeroed(size));
  }
  void free(void* p) {
    frees_.Add(1);
    AddBytes(-Bytes(p));
    Super::free(p);
  }

  std::size_t usable_size(const void* p) { return Super::usable_size(p); }
  bool owns(const void* q) requires OwningHeap<Super> { return Super::owns(q); }

  void* try_resize(void* p, std::size_t size) requires ResizingHeap<Super> {
    const std::int64_t before = Bytes(p);
    void* resized = Super::try_resize(p, size);
    if (resized != nullptr) AddBytes(Bytes(resized) - before);
    return resized;
  }

  HeapCounts counts() const {
    return {allocations_.value(), frees_.value(), live_bytes_.value(), peak_bytes_.value()};
  }

 private:
  std::int64_t Bytes(const void* p) { return static_cast<std::int64_t>(Super::usable_size(p)); }
  void AddBytes(std::int64_t delta) { peak_bytes_.RaiseTo(live_bytes_.Add(delta)); }

  void* Count(void* p) {
    if (p == nullptr) return nullptr;
    allocations_.Add(1);
    AddBytes(Bytes(p));
    return p;
  }

  Counter allocations_, frees_, live_bytes_, peak_bytes_;
};

}  // namespace heaplayers
