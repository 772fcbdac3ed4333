// ThreadLocalHeap: what a thread allocates from and frees to without a lock.
//
// One ShuffleVector for each size class. An object may be freed to any thread's heap, whoever
// allocated it: the class alone decides. Vectors are refilled from, and flushed to, the GlobalHeap
// in batches.
// Room: local; above global. Thread rule: the owning thread alone, but Flush() in a fork's child.
//
// [TL1] A slot in a vector has its bit set in its MiniHeap; to the global heap it is in use.
// [TL2] The second word of a slot that a free has put into a vector is `free_mark`, and no longer
//       when it is handed out. An object with it is looked for among the free ones: so the second
//       free of an object is seen while its slot is free.
#pragma once

#include <cstdint>
#include <span>

#include "src/base/intrusive_list.h"
#include "src/global/global_heap.h"
#include "src/local/shuffle_vector.h"
#include "src/sizeclass/size_class.h"

namespace mesh {

// Any number but one that objects are likely to hold; drawn before the first object is freed.
extern uint64_t free_mark __attribute__((visibility("hidden")));

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
    void* slot = vectors_[size_class].Pop();
    if (MESH_LIKELY(slot != nullptr)) *MarkOf(slot) = 0;
    return slot;
  }

  // Keeps a freed object. False when there is no room, when no slot starts there, or when it has
  // the mark of a free one: then FreeSlow(). `entry` may be any page's: there is never room for
  // what is no object of a class.
  MESH_ALWAYS_INLINE bool Keep(void* object, PageEntry entry) {
    ShuffleVector& vector = vectors_[entry.size_class()];
    return vector.PushIf(object, [&] {
      const auto address = reinterpret_cast<uintptr_t>(object);
      if (!IsSlotStart(address, entry.bits(), vector.reciprocal())) return false;
      const uint64_t mark = free_mark;
      if (*MarkOf(object) == mark) return false;
      *MarkOf(object) = mark;
      return true;
    });
  }

  // Fetches slots from the global heap and returns one; null when out of memory.
  void* Refill(SizeClass size_class);
  // Keeps an object that Keep() has refused, whose page has the entry of a size class: sends a part
  // of the vector to the global heap where it is full. Ends the program when the object is none.
  void FreeSlow(void* object, PageEntry entry);
  // Sends everything to the global heap and lets go of the attached spans.
  // `lenient`: this is another thread's heap, stopped at an arbitrary instruction by a fork.
  void Flush(bool lenient);

  // Bytes of free slots held; another thread may read a value that is a little old.
  size_t cached_bytes() const;

  uint16_t id() const { return id_; }
  void Reseed(uint64_t seed) { random_.Seed(seed); }

 private:
  friend struct WindowLayout;  // tells other processes where the figures lie
  friend class IntrusiveList<ThreadLocalHeap>;

  using Mark [[gnu::may_alias]] = uint64_t;
  // Where a free slot that waits in a vector, or has waited in one, has its mark.
  static MESH_ALWAYS_INLINE Mark* MarkOf(void* slot) { return static_cast<Mark*>(slot) + 1; }
  void RequireInUse(void* object, SizeClass size_class);

  ShuffleVector vectors_[kEntryClassCount];
  Random random_;
  SlotOrder order_ = SlotOrder::kRandomStart;
  GlobalHeap* global_ = nullptr;
  SpanId attached_[kClassCount] = {};
  uint16_t id_ = 0;
  // Links of the registry.
  ThreadLocalHeap* next_ = nullptr;
  ThreadLocalHeap* previous_ = nullptr;
};

}  // namespace mesh
