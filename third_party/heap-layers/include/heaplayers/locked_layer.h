// LockedLayer: makes a heap safe for any number of threads by one lock around each operation.
// Put it as low as the layers above allow: those without state (AlignLayer, ZeroingLayer,
// ReallocLayer, ErrnoLayer) need no lock and do their copying and clearing outside it.
//
// Threads: any number at once. Locks: the Lock policy, leaf; held while the heap below works.
#pragma once

#include <concepts>
#include <cstddef>

#include "heaplayers/contract.h"

namespace heaplayers {

template <class T>
concept BasicLock = requires(T& lock) {
  lock.lock();
  lock.unlock();
};

template <BasicLock Lock, class Super>
class LockedLayer : private Super {
  HEAP_LAYERS_REQUIRE(Super);

 public:
  static constexpr std::size_t kAlignment = Super::kAlignment;
  using Super::Super;

  void* malloc(std::size_t size) {
    return Locked([&] { return Super::malloc(size); });
  }
  void free(void* p) {
    Locked([&] { return Super::free(p), 0; });
  }
  std::size_t usable_size(const void* p) requires SizedHeap<Super> {
    return Locked([&] { return Super::usable_size(p); });
  }
  void* memalign(std::size_t alignment, std::size_t size) requires AligningHeap<Super> {
    return Locked([&] { return Super::memalign(alignment, size); });
  }
  void* malloc_zeroed(std::size_t size) requires ZeroingHeap<Super> {
    return Locked([&] { return Super::malloc_zeroed(size); });
  }
  void* try_resize(void* p, std::size_t size) requires ResizingHeap<Super> {
    return Locked([&] { return Super::try_resize(p, size); });
  }
  bool owns(const void* q) requires OwningHeap<Super> {
    return Locked([&] { return Super::owns(q); });
  }
  void clear() requires ClearableHeap<Super> {
    Locked([&] { return Super::clear(), 0; });
  }

 private:
  // A plain pair instead of a guard: nothing throws, and clang's analysis follows it for any Lock.
  template <class Operation>
  auto Locked(Operation operation) {
    lock_.lock();
    auto result = operation();
    lock_.unlock();
    return result;
  }

  [[no_unique_address]] Lock lock_;
};

}  // namespace heaplayers
