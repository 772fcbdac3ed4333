// ZeroObjects: objects of no size, which have addresses of their own and no memory: whoever reads
// or writes there faults.
//
// Room: secure. Thread rule: any thread; no lock, a bit for each address.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "src/base/random.h"
#include "src/base/units.h"

namespace mesh {

class ZeroObjects {
 public:
  constexpr ZeroObjects() = default;

  // Before first use. Where the kernel refuses, there are none.
  void Reserve(uint64_t seed);

  // In a fork's child.
  void Reseed(uint64_t seed) {
    // order: relaxed; the child has one thread.
    seed_.store(seed, std::memory_order_relaxed);
  }

  // The largest alignment that they have [bytes].
  static constexpr size_t kMostAlignment = kPageSize;

  // A fresh one at a random place, a multiple of `alignment`, which is a power of two; null: there
  // are too many.
  void* Allocate(size_t alignment);
  // `object` lies in here. Ends the program when it is none.
  void Free(const void* object);
  void RequireInUse(const void* object) const;

  bool Contains(const void* address) const {
    return reinterpret_cast<uintptr_t>(address) - base_ < size_;
  }

 private:
  static constexpr size_t kDistance = 16;
  // Address space; a million objects.
  static constexpr size_t kBytes = size_t{16} << 20;
  static constexpr uint32_t kWords = kBytes / kDistance / 64;
  // Addresses that the bits of a word stand for.
  static constexpr size_t kWordBytes = kDistance * 64;
  // Words that are looked at for a free bit.
  static constexpr uint32_t kTries = 256;

  std::atomic<uint64_t>* WordOf(const void* object, uint64_t* bit) const;

  uintptr_t base_ = 0;
  size_t size_ = 0;
  std::atomic<uint64_t>* used_ = nullptr;
  std::atomic<uint64_t> seed_{0};
};

extern ZeroObjects zero_objects __attribute__((visibility("hidden")));

}  // namespace mesh
