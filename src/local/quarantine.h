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

  // Takes a freed slot; release(slot, size_class) gets those that it is too many for.
  template <typename Release>
  MESH_ALWAYS_INLINE void Put(void* slot, SizeClass size_class, Random& random, Release release) {
    const uint32_t count = this->count();
    const size_t bytes = this->bytes() + kSizeClasses[size_class].size;
    if (MESH_LIKELY(count == most_slots_)) {
      std::atomic<uint64_t>& place = places_[random.Below(count)];
      const Place out = Load(place);
      Store(place, {slot, size_class});
      set_bytes(bytes - kSizeClasses[out.size_class].size);
      release(out.slot, out.size_class);
    } else {
      Store(places_[count], {slot, size_class});
      std::atomic_signal_fence(std::memory_order_seq_cst);  // [Q1]
      set_count(count + 1);
      set_bytes(bytes);
    }
    if (MESH_UNLIKELY(this->bytes() > most_bytes_)) Shrink(random, release);
  }

  // Empties it.
  template <typename Release>
  void Drain(Release release) {
    while (count() > 0) Evict(count() - 1, release);
  }

  // Visits `most` of them, from a random one on.
  template <typename Visit>
  void ForSome(uint32_t most, Random& random, Visit visit) const {
    const uint32_t count = this->count();
    if (count == 0) return;
    uint32_t at = random.Below(count);
    for (uint32_t i = 0; i < most && i < count; i++, at = at + 1 < count ? at + 1 : 0) {
      const Place place = Load(places_[at]);
      visit(place.slot, place.size_class);
    }
  }
  template <typename Visit>
  void ForEach(Visit visit) const {
    for (uint32_t i = 0; i < count(); i++) {
      const Place place = Load(places_[i]);
      visit(place.slot, place.size_class);
    }
  }

  // Another thread may read a value that is a little old.
  size_t bytes() const {
    // order: relaxed; for statistics.
    return bytes_.load(std::memory_order_relaxed);
  }

 private:
  struct Place {
    void* slot;
    SizeClass size_class;
  };
  // A place in one word, so that it changes at once.
  // order: relaxed; as count_'s.
  static void Store(std::atomic<uint64_t>& word, Place place) {
    const auto address = reinterpret_cast<uintptr_t>(place.slot);
    word.store(uint64_t{place.size_class} << kAddressBits | address, std::memory_order_relaxed);
  }
  static Place Load(const std::atomic<uint64_t>& word) {
    const uint64_t bits = word.load(std::memory_order_relaxed);
    return {reinterpret_cast<void*>(bits & ((uint64_t{1} << kAddressBits) - 1)),
            static_cast<SizeClass>(bits >> kAddressBits)};
  }

  template <typename Release>
  MESH_NOINLINE void Shrink(Random& random, Release release) {
    while (bytes() > most_bytes_ && count() > 1) Evict(random.Below(count()), release);
  }

  // The last one takes its place.
  template <typename Release>
  void Evict(uint32_t index, Release release) {
    const uint32_t last = count() - 1;
    const Place out = Load(places_[index]);
    const Place moved = Load(places_[last]);
    set_count(last);
    std::atomic_signal_fence(std::memory_order_seq_cst);  // [Q1]
    Store(places_[index], moved);
    set_bytes(bytes() - kSizeClasses[out.size_class].size);
    release(out.slot, out.size_class);
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
