// ThreadLocalHeap: what a thread allocates from and frees to without a lock.
//
// One ShuffleVector for each size class. An object may be freed to any thread's heap, whoever
// allocated it: the class alone decides. Vectors are refilled from, and flushed to, the GlobalHeap
// in batches.
// Room: local; above global. Thread rule: the owning thread alone, but Flush() in a fork's child.
//
// [TL1] A slot in a vector has its bit set in its MiniHeap; to the global heap it is in use.
#pragma once

#include <cstdint>
#include <span>

#include "src/base/intrusive_list.h"
#include "src/global/global_heap.h"
#include "src/local/shuffle_vector.h"
#include "src/sizeclass/size_class.h"

namespace mesh {

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
  MESH_ALWAYS_INLINE void* Take(SizeClass size_class) { return vectors_[size_class].Pop(); }

  // Keeps a freed object. False when there is no room, or when it was freed just now: then
  // FreeSlow(). `size_class` may be whatever a page entry says: there is never room for what is no
  // slot of a class.
  MESH_ALWAYS_INLINE bool Keep(void* object, size_t size_class) {
    return vectors_[size_class].Push(object);
  }

  // Fetches slots from the global heap and returns one; null when out of memory.
  void* Refill(SizeClass size_class);
  // Sends a part of the vector to the global heap and keeps the object. Ends the program when the
  // object is the one that was freed last.
  void FreeSlow(void* object, SizeClass size_class);
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
