// ThreadLocalLayer: a heap of its own for every thread, so that no lock is needed. An object that
// another thread frees stays with the thread that frees it: Super has to accept objects of its
// other instances (FreelistLayer does), and what lies below it in shared state has to be locked.
//
// Tag tells apart stacks that are otherwise the same type. A thread that ends leaves its free
// objects unused, unless it calls clear() first; no destructor runs, as that would need the C++
// runtime. Threads: any number at once.
#pragma once

#include <cstddef>
#include <type_traits>

#include "heaplayers/contract.h"

namespace heaplayers {

template <class Tag, class Super>
class ThreadLocalLayer {
  HEAP_LAYERS_REQUIRE(Super);
  static_assert(std::is_trivially_destructible_v<Super>, "nothing runs when a thread ends");

 public:
  static constexpr std::size_t kAlignment = Super::kAlignment;

  static void* malloc(std::size_t size) { return heap_.malloc(size); }
  static void free(void* p) { heap_.free(p); }

  static std::size_t usable_size(const void* p) requires SizedHeap<Super> {
    return heap_.usable_size(p);
  }
  static void* memalign(std::size_t alignment, std::size_t size) requires AligningHeap<Super> {
    return heap_.memalign(alignment, size);
  }
  static void* malloc_zeroed(std::size_t size) requires ZeroingHeap<Super> {
    return heap_.malloc_zeroed(size);
  }
  // The calling thread's heap only; no object of it may be in use anywhere.
  static void clear() requires ClearableHeap<Super> { heap_.clear(); }

 private:
  static inline constinit thread_local Super heap_{};
};

}  // namespace heaplayers
