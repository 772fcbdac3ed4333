// Quarantine: freed slots that a thread of a hardened heap keeps back for a while.
//
// Each size class has a row of places. Once it is full, each slot that comes takes the place of a
// random one, which may be used again. A slot in here has its bit set, as one in a vector [TL1]; so
// meshing copies it, as it is.
//
//   rows_[class]   first, mask     full: place first + (random & mask) is the next one
//                                  else: mask 0, and first is the next one
//   places_        | slot | slot | slot | - | | slot | - | - | - | | ...
// Room: local. Thread rule: the owning thread alone; a fork's child reads those of other threads.
//
// [Q1] Of each row, the places up to the first that is null hold freed slots, each once, at every
//      instruction; one that is on its way in or out is in no place. A fork's child gives back what
//      it finds.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>

#include "src/arena/page_map.h"
#include "src/base/check.h"
#include "src/base/random.h"
#include "src/sizeclass/size_class.h"

namespace mesh {

class Quarantine {
 public:
  constexpr Quarantine() = default;

  // What the rows hold: `slots` at most, a power of two up to kMostSlots; of large ones fewer, for
  // `bytes`, but kLeastSlots.
  struct Limits {
    uint32_t slots;
    size_t bytes;
  };
  static constexpr uint32_t kMostSlots = 256;
  static constexpr uint32_t kLeastSlots = 4;

  // Bytes of memory that one needs.
  static size_t Footprint(Limits limits);
  // Makes one in zeroed memory of Footprint() bytes.
  static Quarantine* Create(void* memory, Limits limits);

  // Takes a freed slot of a page with that entry. Returns: the one whose place it takes, or null.
  MESH_ALWAYS_INLINE void* Swap(void* slot, PageEntry entry, Random& random) {
    const Row row = RowOf(entry).load(std::memory_order_relaxed);
    std::atomic<void*>& place = places_[row.first + (Draw(random) & row.mask)];
    void* out = place.load(std::memory_order_relaxed);
    place.store(slot, std::memory_order_relaxed);
    if (MESH_UNLIKELY(out == nullptr)) Advance(entry.size_class());
    return out;
  }

  // Empties it: release(slot, size_class) gets all.
  template <typename Release>
  void Drain(Release release) {
    for (SizeClass c = 1; c < kClassCount; c++) {
      // From the end, so that those that are left stay neighbours. A fork may have come when some
      // of them were gone, or before one was counted. [Q1]
      for (uint32_t i = std::min(size(c) + 1, capacity(c)); i > 0; i--) {
        std::atomic<void*>& place = places_[begins_[c] + i - 1];
        void* out = place.load(std::memory_order_relaxed);
        place.store(nullptr, std::memory_order_relaxed);
        if (out != nullptr) release(out, c);
      }
      rows_[c].store({begins_[c], 0}, std::memory_order_relaxed);
    }
  }

  // The generator has got another seed.
  void Reseed() { drawn_ = 0; }

  // Visits `most` of a class, from a random one on.
  template <typename Visit>
  void ForSome(SizeClass size_class, uint32_t most, Random& random, Visit visit) const {
    const uint32_t count = size(size_class);
    if (count == 0) return;
    uint32_t at = random.Below(count);
    for (uint32_t i = 0; i < most && i < count; i++, at = at + 1 < count ? at + 1 : 0) {
      visit(SlotAt(size_class, at), size_class);
    }
  }
  template <typename Visit>
  void ForEach(Visit visit) const {
    for (SizeClass c = 1; c < kClassCount; c++) {
      for (uint32_t i = 0; i < size(c); i++) visit(SlotAt(c, i), c);
    }
  }

  // Another thread may read a value that is a little old.
  size_t bytes() const;

 private:
  struct alignas(8) Row {
    uint32_t first;
    uint32_t mask;
  };

  // A random number whose lowest kDrawBits are to be used. One of the generator is good for
  // several.
  MESH_ALWAYS_INLINE uint32_t Draw(Random& random) {
    if (MESH_UNLIKELY(drawn_ <= 1)) {
      drawn_ = random.Next() >> (64 - kDrawBits * kDraws) | kEndOfDraws;
    }
    const uint64_t drawn = drawn_;
    drawn_ = drawn >> kDrawBits;
    return static_cast<uint32_t>(drawn);
  }

  // rows_[entry.size_class()].
  std::atomic<Row>& RowOf(PageEntry entry) {
    constexpr uint32_t kClassStep = 1 << kPlaceBits;
    static_assert(kClassStep % sizeof(Row) == 0);
    auto* rows = reinterpret_cast<char*>(rows_) + entry.class_bits() / (kClassStep / sizeof(Row));
    return *reinterpret_cast<std::atomic<Row>*>(rows);
  }
  // The next place of a row that was not full has been taken.
  void Advance(SizeClass size_class);
  // Slots in a row, and those it has room for.
  uint32_t size(SizeClass size_class) const;
  uint32_t capacity(SizeClass size_class) const {
    return begins_[size_class + 1] - begins_[size_class];
  }
  void* SlotAt(SizeClass size_class, uint32_t index) const {
    return places_[begins_[size_class] + index].load(std::memory_order_relaxed);
  }

  static constexpr int kDrawBits = 8;
  static constexpr int kDraws = 7;
  static constexpr uint64_t kEndOfDraws = uint64_t{1} << (kDrawBits * kDraws);
  static_assert(kMostSlots == 1 << kDrawBits);

  // order: relaxed, as of places_; the owner's alone, but in a fork's child and for statistics.
  std::atomic<Row> rows_[kClassCount] = {};
  uint64_t drawn_ = 0;  // random bits, and one above those that are left
  // Where the rows begin, and the last one ends.
  uint32_t begins_[kClassCount + 1] = {};
  std::atomic<void*> places_[];
};

}  // namespace mesh
