// Canaries: bytes behind an object that nobody may write to.
//
// The byte at an address is drawn at random for its offset within kPeriod, a few cache lines. So it
// is known without being stored, is the same through every address that shows a page, and stays
// right where an object is copied by meshing, which keeps its offset.
// None of them is a zero, a letter, or what programs fill memory with: these are always seen. Any
// other byte is overlooked where it is what was there, which changes nothing.
// Room: secure. Thread rule: drawn once, before first use; read-only afterwards.
#pragma once

#include <cstddef>
#include <cstdint>

#include "src/base/units.h"

namespace mesh {

class Canary {
 public:
  // Bytes that Fill() and IsWhole() take at most.
  static constexpr size_t kMostBytes = kPageSize;
  // Bytes; divides pages.
  static constexpr size_t kPeriod = 256;

  // Draws the bytes. False: there is no memory for them.
  static bool Draw(uint64_t seed);

  static void Fill(void* at, size_t bytes);
  static bool IsWhole(const void* at, size_t bytes);
  // What belongs at `at`, kMostBytes and more of it.
  static const uint8_t* BytesFor(const void* at) {
    return bytes_ + reinterpret_cast<uintptr_t>(at) % kPeriod;
  }
  // The byte that belongs at `address`.
  static uint8_t At(uintptr_t address) { return bytes_[address % kPeriod]; }

 private:
  // The period's, over and over, for runs of kMostBytes from any place on; read-only memory.
  static const uint8_t* bytes_ __attribute__((visibility("hidden")));
};

}  // namespace mesh
