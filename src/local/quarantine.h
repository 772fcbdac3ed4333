// Quarantine: freed slots that a thread of a hardened heap keeps back for a while.
//
// Once it is full, each slot that comes takes the place of a random one, which may be used again. A
// slot in here has its bit set, as one in a vector [TL1]; so meshing copies it, as it is.
// Room: local. Thread rule: the owning thread alone; a fork's child reads those of other threads.
//
// [Q1] places_[0, count_) are freed slots, each once, at every instruction; one that is on its way
//      in or out is in no place. A fork's child gives back what it finds.
#pragma once

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

  // Bytes of memory that one for so many slots needs.
  static size_t Footprint(uint32_t slots) { return sizeof(Quarantine) + slots * sizeof(uint64_t); }
  // Makes one in zeroed memory of Footprint() bytes. `slots`: a power of two, at most kMostSlots.
  static constexpr uint32_t kMostSlots = 1024;
  static Quarantine* Create(void* memory, uint32_t slots, size_t bytes);

  // A slot and its class in one word, so that a place changes at once.
  class Kept {
   public:
    constexpr Kept() = default;
    // `entry`: of the page that the slot starts in.
    Kept(void* slot, PageEntry entry)
        : bits_(reinterpret_cast<uintptr_t>(slot) << kUnusedBits | entry.class_bits()) {
      static_assert(kUnusedBits >= 8 * sizeof(entry));
    }
    void* slot() const { return reinterpret_cast<void*>(bits_ >> kUnusedBits); }
    // Of any page of the class.
    PageEntry entry() const { return PageEntry::Of(static_cast<uint16_t>(bits_)); }
    bool is_none() const { return bits_ == 0; }

   private:
    uint64_t bits_ = 0;
  };
  bool has_room() const { return count() < most_slots_; }
  // Takes a freed slot. Both return false when that is too much: Shrink() has to follow, while it
  // is over_full(). Where there is room:
  bool Add(Kept kept) {
    const uint32_t count = this->count();
    places_[count].store(kept, std::memory_order_relaxed);
    std::atomic_signal_fence(std::memory_order_seq_cst);  // [Q1]
    set_count(count + 1);
    set_room(room() - SizeOf(kept));
    return !over_full();
  }
  // Where there is none: *out is the one whose place it takes.
  MESH_ALWAYS_INLINE bool Swap(Kept kept, Random& random, Kept* out) {
    std::atomic<Kept>& place = places_[Draw(random)];
    *out = place.load(std::memory_order_relaxed);
    place.store(kept, std::memory_order_relaxed);
    const int64_t room = this->room() + SizeOf(*out) - SizeOf(kept);
    set_room(room);
    return room >= 0;
  }
  bool over_full() const { return room() < 0; }
  // Lets go of a random one.
  Kept Shrink(Random& random) { return Evict(random.Below(count())); }

  // Empties it: release(slot, size_class) gets all.
  template <typename Release>
  void Drain(Release release) {
    while (count() > 0) {
      const Kept out = Evict(count() - 1);
      release(out.slot(), out.entry().size_class());
    }
    set_room(most_bytes_);  // a fork may have come before it was
  }

  // Visits `most` of them, from a random one on.
  template <typename Visit>
  void ForSome(uint32_t most, Random& random, Visit visit) const {
    const uint32_t count = this->count();
    if (count == 0) return;
    uint32_t at = random.Below(count);
    for (uint32_t i = 0; i < most && i < count; i++, at = at + 1 < count ? at + 1 : 0) {
      const Kept kept = places_[at].load(std::memory_order_relaxed);
      visit(kept.slot(), kept.entry().size_class());
    }
  }
  template <typename Visit>
  void ForEach(Visit visit) const {
    for (uint32_t i = 0; i < count(); i++) {
      const Kept kept = places_[i].load(std::memory_order_relaxed);
      visit(kept.slot(), kept.entry().size_class());
    }
  }

  // Another thread may read a value that is a little old.
  size_t bytes() const { return static_cast<size_t>(most_bytes_ - room()); }

 private:
  static int64_t SizeOf(Kept kept) { return SlotSizeOf(kept.entry()); }

  // A random place, when there is no room. A number of the generator is good for several.
  MESH_ALWAYS_INLINE uint32_t Draw(Random& random) {
    if (MESH_UNLIKELY(drawn_ <= 1))
      drawn_ = random.Next() >> (64 - kDrawBits * kDraws) | kEndOfDraws;
    const uint64_t drawn = drawn_;
    drawn_ = drawn >> kDrawBits;
    return static_cast<uint32_t>(drawn) & (most_slots_ - 1);
  }

  // The last one takes its place.
  Kept Evict(uint32_t index) {
    const uint32_t last = count() - 1;
    const Kept out = places_[index].load(std::memory_order_relaxed);
    const Kept moved = places_[last].load(std::memory_order_relaxed);
    set_count(last);
    std::atomic_signal_fence(std::memory_order_seq_cst);  // [Q1]
    places_[index].store(moved, std::memory_order_relaxed);
    set_room(room() + SizeOf(out));
    return out;
  }

  // order: relaxed, as of places_; the owner's alone, but in a fork's child and for statistics.
  uint32_t count() const { return count_.load(std::memory_order_relaxed); }
  void set_count(uint32_t count) { count_.store(count, std::memory_order_relaxed); }
  int64_t room() const { return room_.load(std::memory_order_relaxed); }
  void set_room(int64_t room) { room_.store(room, std::memory_order_relaxed); }

  static constexpr int kDrawBits = 10;
  static constexpr int kDraws = 6;
  static constexpr uint64_t kEndOfDraws = uint64_t{1} << (kDrawBits * kDraws);
  static_assert(kMostSlots == 1 << kDrawBits);

  std::atomic<uint32_t> count_{0};
  uint32_t most_slots_ = 0;
  std::atomic<int64_t> room_{0};  // bytes; negative only until Shrink() has followed
  int64_t most_bytes_ = 0;
  uint64_t drawn_ = 0;  // random bits, and one above those that are left
  std::atomic<Kept> places_[];
};

}  // namespace mesh
