// Bitmap: which slots of a span are set; 256 bits, as long as the largest span has slots.
//
// Four words, so that a test of two bitmaps is a handful of vector instructions. Not atomic: a
// MiniHeap's bitmap changes under its size class's lock only.
// Room: base. Thread rule: the owner's lock.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>

#include "src/base/units.h"

namespace mesh {

class Bitmap {
 public:
  static constexpr SlotIndex kBits = 256;
  static constexpr int kWords = kBits / 64;

  // The bitmap whose first `count` bits are set; count <= kBits.
  static constexpr Bitmap FirstBits(SlotIndex count) {
    Bitmap result;
    for (int w = 0; w < kWords; w++) {
      SlotIndex low = static_cast<SlotIndex>(w) * 64;
      if (count >= low + 64) {
        result.words_[w] = ~uint64_t{0};
      } else if (count > low) {
        result.words_[w] = (uint64_t{1} << (count - low)) - 1;
      }
    }
    return result;
  }

  // The bitmap whose first words these are; at most kWords.
  static constexpr Bitmap Of(std::span<const uint64_t> words) {
    Bitmap result;
    for (size_t w = 0; w < words.size(); w++) result.words_[w] = words[w];
    return result;
  }
  // Sets the bits of this bitmap in `words`, beyond which it has none.
  constexpr void AddTo(std::span<uint64_t> words) const {
    for (size_t w = 0; w < words.size(); w++) words[w] |= words_[w];
  }

  constexpr bool IsSet(SlotIndex slot) const { return (words_[slot / 64] >> (slot % 64) & 1) != 0; }
  constexpr void Set(SlotIndex slot) { words_[slot / 64] |= uint64_t{1} << (slot % 64); }
  constexpr void Clear(SlotIndex slot) { words_[slot / 64] &= ~(uint64_t{1} << (slot % 64)); }

  constexpr SlotIndex Count() const {
    SlotIndex count = 0;
    for (uint64_t word : words_) count += static_cast<SlotIndex>(std::popcount(word));
    return count;
  }

  constexpr bool IsEmpty() const { return (words_[0] | words_[1] | words_[2] | words_[3]) == 0; }

  // Whether a slot is set in both: two spans are meshable when none is (PLDI'19 s.2).
  constexpr bool Overlaps(const Bitmap& other) const {
    uint64_t both = 0;
    for (int w = 0; w < kWords; w++) both |= words_[w] & other.words_[w];
    return both != 0;
  }

  constexpr Bitmap& operator|=(const Bitmap& other) {
    for (int w = 0; w < kWords; w++) words_[w] |= other.words_[w];
    return *this;
  }

  // This bitmap without the bits of `other`.
  constexpr Bitmap Without(const Bitmap& other) const {
    Bitmap result;
    for (int w = 0; w < kWords; w++) result.words_[w] = words_[w] & ~other.words_[w];
    return result;
  }

  // The bitmap whose bit i + by is this one's bit i; what would lie beyond the end is dropped.
  constexpr Bitmap ShiftedUp(SlotIndex by) const {
    Bitmap result;
    int whole = by / 64;
    int bits = by % 64;
    for (int w = whole; w < kWords; w++) {
      result.words_[w] = words_[w - whole] << bits;
      if (bits > 0 && w > whole) result.words_[w] |= words_[w - whole - 1] >> (64 - bits);
    }
    return result;
  }

  constexpr bool operator==(const Bitmap&) const = default;

  // Calls visit(SlotIndex) for each set bit, in rising order.
  template <typename Visit>
  constexpr void ForEachSet(Visit visit) const {
    for (int w = 0; w < kWords; w++) {
      for (uint64_t rest = words_[w]; rest != 0; rest &= rest - 1) {
        visit(static_cast<SlotIndex>(w * 64 + std::countr_zero(rest)));
      }
    }
  }

  // Calls visit(SlotIndex first, uint32_t length) for runs of set bits, of `most` bits in all, from
  // `start` on, in rising order, and round to those before it. Returns: those bits.
  template <typename Visit>
  constexpr Bitmap ForEachRunFrom(SlotIndex start, uint32_t most, Visit visit) const {
    const uint64_t before = (uint64_t{1} << (start % 64)) - 1;
    Bitmap visited;
    for (int i = 0; i <= kWords && most > 0; i++) {
      const int w = (static_cast<int>(start / 64) + i) % kWords;
      uint64_t rest = words_[w];
      if (i == 0) rest &= ~before;
      if (i == kWords) rest &= before;
      while (rest != 0 && most > 0) {
        const auto first = static_cast<uint32_t>(std::countr_zero(rest));
        auto length = static_cast<uint32_t>(std::countr_one(rest >> first));
        if (length > most) length = most;
        most -= length;
        visit(static_cast<SlotIndex>(w * 64) + first, length);
        const uint64_t run = (~uint64_t{0} >> (64 - length)) << first;
        visited.words_[w] |= run;
        rest &= ~run;
      }
    }
    return visited;
  }

 private:
  uint64_t words_[kWords] = {};
};

}  // namespace mesh
