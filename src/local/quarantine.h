// Quarantine: freed slots that a thread of a hardened heap keeps back for a while.
//
// Once it is full, each slot that comes takes the place of a random one, which may be used again. A
// slot in here has its bit set, as one in a vector [TL1]; so meshing copies it, as it is.
// Room: local. Thread rule: the owning thread alone; a fork's child reads those of other threads.
//
// [Q1] slots_[0, count_) are freed slots, each once, at every instruction; one that is on its way
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
  // Makes one in zeroed memory of Footprint() bytes.
  static Quarantine* Create(void* memory, uint32_t slots, size_t bytes);

  struct Kept {
    void* slot;
    SizeClass size_class;
  };
  // Takes a freed slot. Returns: the one whose place it takes; of null where there was room.
  // Shrink() follows while it is over_full().
  MESH_ALWAYS_INLINE Kept Put(Kept kept, Random& random) {
    const uint32_t count = this->count();
    const size_t bytes = this->bytes() + kSizeClasses[kept.size_class].size;
    if (MESH_UNLIKELY(count < most_slots_)) {
      Store(places_[count], kept);
      std::atomic_signal_fence(std::memory_order_seq_cst);  // [Q1]
      set_count(count + 1);
      set_bytes(bytes);
      return {};
    }
    std::atomic<uint64_t>& place = places_[random.Below(count)];
    const Kept out = Load(place);
    Store(place, kept);
    set_bytes(bytes - kSizeClasses[out.size_class].size);
    return out;
  }
  bool over_full() const { return bytes() > most_bytes_; }
  // Lets go of a random one.
  Kept Shrink(Random& random) { return Evict(random.Below(count())); }

  // Empties it: release(slot, size_class) gets all.
  template <typename Release>
  void Drain(Release release) {
    while (count() > 0) {
      const Kept out = Evict(count() - 1);
      release(out.slot, out.size_class);
    }
  }

  // Visits `most` of them, from a random one on.
  template <typename Visit>
  void ForSome(uint32_t most, Random& random, Visit visit) const {
    const uint32_t count = this->count();
    if (count == 0) return;
    uint32_t at = random.Below(count);
    for (uint32_t i = 0; i < most && i < count; i++, at = at + 1 < count ? at + 1 : 0) {
      const Kept kept = Load(places_[at]);
      visit(kept.slot, kept.size_class);
    }
  }
  template <typename Visit>
  void ForEach(Visit visit) const {
    for (uint32_t i = 0; i < count(); i++) {
      const Kept kept = Load(places_[i]);
      visit(kept.slot, kept.size_class);
    }
  }

  // Another thread may read a value that is a little old.
  size_t bytes() const {
    // order: relaxed; for statistics.
    return bytes_.load(std::memory_order_relaxed);
  }

 private:
  // A place in one word, so that it changes at once.
  // order: relaxed; as count_'s.
  static void Store(std::atomic<uint64_t>& word, Kept kept) {
    const auto address = reinterpret_cast<uintptr_t>(kept.slot);
    word.store(uint64_t{kept.size_class} << kAddressBits | address, std::memory_order_relaxed);
  }
  static Kept Load(const std::atomic<uint64_t>& word) {
    const uint64_t bits = word.load(std::memory_order_relaxed);
    return {reinterpret_cast<void*>(bits & ((uint64_t{1} << kAddressBits) - 1)),
            static_cast<SizeClass>(bits >> kAddressBits)};
  }

  // The last one takes its place.
  Kept Evict(uint32_t index) {
    const uint32_t last = count() - 1;
    const Kept out = Load(places_[index]);
    const Kept moved = Load(places_[last]);
    set_count(last);
    std::atomic_signal_fence(std::memory_order_seq_cst);  // [Q1]
    Store(places_[index], moved);
    set_bytes(bytes() - kSizeClasses[out.size_class].size);
    return out;
  }

  // order: relaxed; the owner's alone, but in a fork's child.
  uint32_t count() const { return count_.load(std::memory_order_relaxed); }
  void set_count(uint32_t count) { count_.store(count, std::memory_order_relaxed); }
  void set_bytes(size_t bytes) { bytes_.store(bytes, std::memory_order_relaxed); }

  std::atomic<uint32_t> count_{0};
  uint32_t most_slots_ = 0;
  std::atomic<size_t> bytes_{0};
  size_t most_bytes_ = 0;
  std::atomic<uint64_t> places_[];
};

}  // namespace mesh
