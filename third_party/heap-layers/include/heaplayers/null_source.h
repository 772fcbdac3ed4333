// NullSource: the heap that refuses everything. It ends a stack that must not grow: as the large
// heap of a SegregatedLayer it bounds the sizes served, under a BumpLayer the memory used.
//
// Threads: any number at once; there is no state.
#pragma once

#include <cstddef>

#include "heaplayers/contract.h"

namespace heaplayers {

class NullSource {
 public:
  static constexpr std::size_t kAlignment = std::size_t{1} << 16;  // vacuously true of no object

  static constexpr void* malloc(std::size_t) { return nullptr; }
  static constexpr void* memalign(std::size_t, std::size_t) { return nullptr; }
  static constexpr void* malloc_zeroed(std::size_t) { return nullptr; }
  static constexpr void free(void*) {}
  static constexpr std::size_t usable_size(const void*) { return 0; }
  static constexpr bool owns(const void*) { return false; }
  static constexpr void clear() {}
};

}  // namespace heaplayers
