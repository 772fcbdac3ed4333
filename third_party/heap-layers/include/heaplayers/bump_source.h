// BumpSource: hands out a fixed buffer, which is part of the heap object, from front to back. For
// the allocations before anything else runs, and as a bounded first heap of a FallbackLayer.
//
// Threads: one at a time. In static storage the buffer costs no bytes in the executable (.bss).
#pragma once

#include <cstddef>

#include "heaplayers/arithmetic.h"
#include "heaplayers/contract.h"

namespace heaplayers {

template <std::size_t kBytes>
class BumpSource {
 public:
  static constexpr std::size_t kAlignment = alignof(std::max_align_t);

  constexpr BumpSource() = default;
  BumpSource(const BumpSource&) = delete;
  BumpSource& operator=(const BumpSource&) = delete;

  void* malloc(std::size_t size) {
    const std::size_t need = RoundUp(Larger(size, 1), kAlignment);
    if (need > kBytes - used_) return nullptr;
    void* p = buffer_ + used_;
    used_ += need;
    return p;
  }

  // The memory of single objects does not come back; see clear().
  void free(void*) {}

  bool owns(const void* q) const {
    return reinterpret_cast<std::size_t>(q) - reinterpret_cast<std::size_t>(buffer_) < kBytes;
  }

  void clear() { used_ = 0; }

 private:
  std::size_t used_ = 0;  // bytes handed out, padding included
  alignas(kAlignment) std::byte buffer_[kBytes] = {};
};

}  // namespace heaplayers
