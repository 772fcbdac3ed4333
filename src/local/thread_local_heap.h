// ThreadLocalHeap: what a thread allocates from and frees to without a lock.
//
// One ShuffleVector for each size class. An object may be freed to any thread's heap, whoever
// allocated it: the class alone decides. Vectors are refilled from, and flushed to, the GlobalHeap
// in batches.
// Room: local; above global. Thread rule: the owning thread alone; Flush() also in a fork's child,
// and by who has taken the heap while its owner rests (rest_state.h).
//
// [TL1] A slot in a vector has its bit set in its MiniHeap; to the global heap it is in use.
// [TL2] The second word of a slot that a free has put into a vector is kFreeMark, and no longer
//       when it is handed out. An object with it is looked for among the free ones: so the second
//       free of an object is seen while its slot is free.
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "src/base/intrusive_list.h"
#include "src/global/global_heap.h"
#include "src/local/quarantine.h"
#include "src/local/rest_state.h"
#include "src/local/shuffle_vector.h"
#include "src/secure/slot_guard.h"
#include "src/sizeclass/size_class.h"

namespace mesh {

// Any number but one that objects are likely to hold.
inline constexpr uint32_t kFreeMark = 0x9D4B1F5A;

namespace internal {
constexpr bool IsPinnedStep(size_t sixteenths) { return sixteenths * 16 % kPinnedAlignment == 0; }
}  // namespace internal

class ThreadLocalHeap {
 public:
  constexpr ThreadLocalHeap() = default;

  // Bytes of memory that a heap and its vectors need; most of it is never touched.
  static size_t Footprint();
  // Makes a heap in zeroed memory of Footprint() bytes.
  static ThreadLocalHeap* Create(void* memory, uint16_t id);
  // Readies it for a (new) thread.
  void Start(GlobalHeap* global, uint64_t seed, SlotOrder order);

  // The next free slot of the class, or null: then Refill().
  MESH_ALWAYS_INLINE void* Take(SizeClass size_class) {
    return Unmarked(vectors_[size_class].Pop());
  }

  // The same, for objects of `size` bytes, at most kQuickSize. Null too for sizes that file buffers
  // may have, multiples of kPinnedAlignment, and for those that share a step of 16 with one.
  static constexpr size_t kQuickSize = internal::kFineLimit;
  MESH_ALWAYS_INLINE void* TakeQuickly(size_t size) {
    return Unmarked(VectorAt(kQuickVectors[(size + 15) / 16]).Pop());
  }
  // Whether that is as good as Take().
  static MESH_ALWAYS_INLINE bool IsQuick(size_t size) {
    return size <= kQuickSize && !internal::IsPinnedStep((size + 15) / 16);
  }

  // Keeps a freed object. False when there is no room, when no slot starts there, or when it has
  // the mark of a free one: then FreeSlow(). `entry` may be any page's: there is never room for
  // what is no object of a class.
  MESH_ALWAYS_INLINE bool Keep(void* object, PageEntry entry) {
    ShuffleVector& vector = VectorOf(entry);
    return vector.PushIf(object, [&] {
      const auto address = reinterpret_cast<uintptr_t>(object);
      if (!IsSlotStart(address, entry.bits(), vector.reciprocal())) return false;
      if (*MarkOf(object) == kFreeMark) return false;
      *MarkOf(object) = kFreeMark;
      return true;
    });
  }

  // Fetches slots from the global heap and returns one; null when out of memory.
  void* Refill(SizeClass size_class);
  // Keeps an object that Keep() has refused, whose page has the entry of a size class: sends a part
  // of the vector to the global heap where it is full. Ends the program when the object is none.
  void FreeSlow(void* object, PageEntry entry);
  // Whether an object has the mark of a free one; whether a free slot waits here. Another thread
  // may ask the latter: it is told of what its own object's address has gone through.
  static bool IsMarked(void* object) { return *MarkOf(object) == kFreeMark; }
  bool Holds(const void* slot, SizeClass size_class) const {
    return vectors_[size_class].Contains(slot);
  }
  // Of hardened heaps, whose slots have states (SlotGuard) instead of marks. A slot of the class,
  // or null when out of memory.
  MESH_ALWAYS_INLINE void* TakeHardened(SizeClass size_class) {
    void* slot = vectors_[size_class].Pop();
    // No store to it before: those in the vector are free slots to a fork's child. [SG3]
    std::atomic_signal_fence(std::memory_order_seq_cst);
    return slot;
  }
  // Whether a slot of a class starts at `object`, in a page with that entry.
  MESH_ALWAYS_INLINE bool IsSlot(const void* object, PageEntry entry) {
    return IsSlotStart(reinterpret_cast<uintptr_t>(object), entry.bits(),
                       VectorOf(entry).reciprocal());
  }
  // Keeps a slot that SlotGuard has freed, in a page with that entry. Returns: null; or one of the
  // class for which there is no room: KeepRest() has to follow.
  MESH_ALWAYS_INLINE void* KeepHardened(void* slot, PageEntry entry) {
    if (MESH_LIKELY(quarantine_ != nullptr)) {
      slot = quarantine_->Swap(slot, entry, random_);
      if (MESH_UNLIKELY(slot == nullptr)) return nullptr;
      // Handed out soon, and in no cache for long. (What is stored only, the state, needs none.)
      __builtin_prefetch(slot, 1);
    }
    return MESH_LIKELY(VectorOf(entry).PushIf(slot, [] { return true; })) ? nullptr : slot;
  }
  // Slots go to the global heap, and this one is the next to be handed out.
  void KeepRest(void* slot, SizeClass size_class);
  // Ends the program when a freed slot that is kept here was written to: looks at all, or some that
  // the quarantine has of a class.
  void RequireUntouched() const;
  void Patrol(SizeClass size_class);

  // Sends everything to the global heap and lets go of the attached spans.
  enum class Flushing : uint8_t {
    kAll,
    kLeniently,  // another thread's heap, stopped at an arbitrary instruction by a fork
    kBelowTops,  // the owner rests, maybe in a signal handler that came inside of Take() or Keep():
                 // a slot of each class stays, [SV4]
  };
  void Flush(Flushing how);
  // Whether Flush() of a resting owner's heap would send anything.
  bool has_below_tops() const;

  // Bytes of free slots held; another thread may read a value that is a little old.
  size_t cached_bytes() const;

  RestState& rest() { return rest_; }

  uint16_t id() const { return id_; }
  void Reseed(uint64_t seed) {
    random_.Seed(seed);
    if (quarantine_ != nullptr) quarantine_->Reseed();
  }

 private:
  friend struct WindowLayout;  // tells other processes where the figures lie
  friend class IntrusiveList<ThreadLocalHeap>;
  friend class ThreadRegistry;

  using Mark [[gnu::may_alias]] = uint32_t;
  // Where a free slot that waits in a vector, or has waited in one, has its mark.
  static MESH_ALWAYS_INLINE Mark* MarkOf(void* slot) { return static_cast<Mark*>(slot) + 2; }
  static MESH_ALWAYS_INLINE void* Unmarked(void* slot) {
    if (MESH_LIKELY(slot != nullptr)) *MarkOf(slot) = 0;
    return slot;
  }
  // vectors_[offset / sizeof(ShuffleVector)]: a multiplication is saved where the offset is known.
  MESH_ALWAYS_INLINE ShuffleVector& VectorAt(size_t offset) {
    return *reinterpret_cast<ShuffleVector*>(reinterpret_cast<char*>(vectors_) + offset);
  }
  // vectors_[entry.size_class()]: a vector is as long as the classes are apart in entries.
  MESH_ALWAYS_INLINE ShuffleVector& VectorOf(PageEntry entry) {
    static_assert(sizeof(ShuffleVector) == 1 << kPlaceBits);
    return VectorAt(entry.class_bits());
  }
  // Offsets of the vectors for each 16th size; class 0, which never has a slot, for file buffers.
  static constexpr auto kQuickVectors = [] {
    std::array<uint16_t, kQuickSize / 16 + 1> offsets{};
    for (size_t i = 0; i < offsets.size(); i++) {
      bool is_buffer = i > 0 && internal::IsPinnedStep(i);
      SizeClass size_class = is_buffer ? kNoClass : internal::kFine[i];
      offsets[i] = static_cast<uint16_t>(size_class * sizeof(ShuffleVector));
    }
    return offsets;
  }();
  void RequireInUse(void* object, SizeClass size_class);
  // Fetches slots and takes one. False: a batch of compaction has the class, and the caller does
  // not wait for it. *slot is null when out of memory.
  bool TryRefill(SizeClass size_class, bool waits, void** slot);
  // A slot of a larger class; null when out of memory.
  void* Borrow(SizeClass size_class);
  // The next free slot, at any level.
  void* TakeAny(SizeClass size_class);
  void SendOldest(SizeClass size_class);
  // Returns what waits to be returned.
  void ReturnAll(SizeClass size_class);
  // Where the vectors' storage begins.
  void** FirstStorage();
  void Grow(SizeClass size_class);
  void StartHardened();
  void DrainQuarantine(bool lenient);
  // RequireUntouched() of slots of a vector.
  static void LookAt(std::span<void* const> slots, SizeClass size_class);

  ShuffleVector vectors_[kEntryClassCount];
  Random random_;
  SlotOrder order_ = SlotOrder::kRandomStart;
  GlobalHeap* global_ = nullptr;
  SpanId attached_[kClassCount] = {};
  uint16_t id_ = 0;
  Quarantine* quarantine_ = nullptr;
  RestState rest_;
  // The registry's: the rest that it was in at the last look, and whether to empty it.
  uint32_t seen_rest_ = 0;
  bool is_due_ = false;
  // Links of the registry.
  ThreadLocalHeap* next_ = nullptr;
  ThreadLocalHeap* previous_ = nullptr;
};

}  // namespace mesh
