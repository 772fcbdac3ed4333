// PackerBlock: which of 512 columns have a slot set, a row for each slot. A column is a span, or a
// group; what none of a span's slots is set in is found by one row for each of them.
//
// Room: meshing; above base. Thread rule: the owner's.
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>

#include "src/base/bitmap.h"

namespace mesh {

// As many columns as a cache line has bits.
struct PackerBlock {
  static constexpr uint32_t kWords = 8;
  static constexpr uint32_t kColumns = 64 * kWords;

  uint64_t closed[kWords];               // columns to leave alone, or that are not there
  uint64_t with[Bitmap::kBits][kWords];  // [slot]: columns that have it set

  // No column, of spans of `slots` slots.
  void Clear(SlotIndex slots) {
    std::fill_n(closed, kWords, ~uint64_t{0});
    std::fill_n(with[0], size_t{slots} * kWords, 0);
  }
  void Open(uint32_t column) { closed[column / 64] &= ~(uint64_t{1} << (column % 64)); }
  void Close(uint32_t column) { closed[column / 64] |= uint64_t{1} << (column % 64); }
  void Add(uint32_t column, const Bitmap& bits) {
    bits.ForEachSet(
        [&](SlotIndex slot) { with[slot][column / 64] |= uint64_t{1} << (column % 64); });
  }

  // Writes kWords words to `fits`: a bit for each open column that has none of `bits` set.
  void FindFitting(const Bitmap& bits, uint64_t* fits) const {
    uint64_t unfit[kWords];
    std::copy_n(closed, kWords, unfit);
    bits.ForEachSet([&](SlotIndex slot) {
      for (uint32_t w = 0; w < kWords; w++) unfit[w] |= with[slot][w];
    });
    for (uint32_t w = 0; w < kWords; w++) fits[w] = ~unfit[w];
  }
  // Calls visit(column) for each of them, in rising order, until one of the calls returns false.
  template <typename Visit>
  void ForEachFitting(const Bitmap& bits, Visit visit) const {
    uint64_t fits[kWords];
    FindFitting(bits, fits);
    for (uint32_t w = 0; w < kWords; w++) {
      for (uint64_t rest = fits[w]; rest != 0; rest &= rest - 1) {
        if (!visit(w * 64 + static_cast<uint32_t>(std::countr_zero(rest)))) return;
      }
    }
  }
};

}  // namespace mesh
