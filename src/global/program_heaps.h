// ProgramHeaps: the heaps that the program makes (mesh_heap_new), beside the main one.
//
//   ProgramHeap -> SizeClassHeap of each class that is used -> spans with entries of
//                                                              kProgramHeapClass
//               -> list of its large objects
//
// Such a heap has spans and locks of its own, so no page is shared with another heap, meshing stays
// inside, and destroying it means giving spans back. No thread keeps slots of it: every thread may
// allocate from it and free to it, under the lock of the class. A free finds the heap through the
// span's record, and asks again under the lock, since the heap may have handed the span over.
// Room: global; above SizeClassHeap. Locks: kProgramHeaps for which heaps and classes there are;
// kLargeLists for lists of large objects; the classes'. Nothing that is made here ever goes: an
// ended heap waits, with its classes, to be another.
//
// [PR1] A heap whose generation is odd is in use. To end it is to change the generation first; who
//       allocates looks at it under the class's lock.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>

#include "src/arena/arena.h"
#include "src/base/mutex.h"
#include "src/global/size_class_heap.h"

namespace mesh {

class ProgramHeap {
 public:
  uint32_t generation() const {
    // order: relaxed; [PR1].
    return generation_.load(std::memory_order_relaxed);
  }
  uint16_t id() const { return id_; }

 private:
  friend class ProgramHeaps;

  std::atomic<uint32_t> generation_{0};
  uint16_t id_ = 0;
  bool takes_interior_ = false;
  std::atomic<SizeClassHeap*> classes_[kClassCount] = {};
  SpanId large_ = kNoSpan;            // first of its large objects; under kLargeLists
  ProgramHeap* next_free_ = nullptr;  // under kProgramHeaps
};

class ProgramHeaps {
 public:
  // `main`: the classes of the main heap.
  ProgramHeaps(Arena& arena, Backing& backing, SpanReleaser& releaser,
               std::span<SizeClassHeap> main)
      : arena_(arena), backing_(backing), releaser_(releaser), main_(main) {}

  // Before first use.
  void set_order(SlotOrder order) { order_ = order; }

  // A heap without objects, or null when there is no memory for one or there are kMostHeaps.
  // `takes_interior`: any address inside an object stands for it.
  ProgramHeap* New(uint64_t seed, bool takes_interior = false);
  // Ends it; the objects live on in the main heap, or are gone. Ends the program if it has ended.
  void Delete(ProgramHeap* heap);
  void Destroy(ProgramHeap* heap);

  // One object. *is_over: the heap is not of that generation any more. *looked: slots had to be
  // looked for, so that there may be something to do on the side. Null: that, or out of memory.
  void* Allocate(ProgramHeap* heap, uint32_t generation, SizeClass size_class, bool* looked,
                 bool* is_over);
  // Frees an object whose page's entry was of kProgramHeapClass. False: now it is not.
  bool Free(void* object);
  // Of an object whose page's entry is of kProgramHeapClass: bytes from it to the end of its slot.
  // Ends the program on an address that stands for no object.
  size_t UsableSize(const void* object) const;

  // Enters a large object in the heap's list. False: the heap has ended.
  bool AdoptLarge(ProgramHeap* heap, uint32_t generation, SpanId id);
  // A large object that may be in a list goes, or is going to lie at `to`.
  void ForgetLarge(SpanId id);
  void ReplaceLarge(SpanId id, SpanId to);

  // The heap that an object lies in, null for the main heap. Any address.
  ProgramHeap* Find(const void* object) const;
  // The class that spans of kProgramHeapClass belong to; null for an id that no heap has.
  SizeClassHeap* ClassOf(const MiniHeap& span) const;

  // Slots that wait to be handed out go back to their spans, and pages of free slots to the system.
  // Of one heap, or of all for null. Returns bytes.
  size_t ReleaseFreeSlots(const ProgramHeap* heap);

  // Calls visit(context, object, usable size) for each object until it returns false. No lock is
  // held then. kNoMemory: there is none for the list of spans.
  enum class Visited : uint8_t { kAll, kEnded, kNoMemory };
  using Visitor = bool (*)(void* context, void* object, size_t usable_size);
  Visited Visit(ProgramHeap* heap, Visitor visit, void* context);

  const ProgramClassList& classes() const { return all_; }

  // Around fork, in lock order: this one, then the main heap's classes, then those and the lists.
  Mutex& lock() { return lock_; }
  void LockClasses();
  void UnlockClasses();
  void ReseedLocked(uint64_t seed);

 private:
  friend struct WindowLayout;  // tells other processes where the figures lie
  static constexpr uint32_t kMostHeaps = UINT16_MAX;
  static constexpr uint32_t kChunk = 256;

  using Chunk = std::atomic<ProgramHeap*>[kChunk];

  ProgramHeap* MakeLocked() REQUIRES(lock_);
  ProgramHeap* ById(uint16_t id) const;
  SizeClassHeap* MakeClass(ProgramHeap* heap, SizeClass size_class);
  SizeClassHeap& MainClass(SizeClass size_class) { return main_[size_class - 1]; }
  static void End(ProgramHeap* heap);
  void Retire(ProgramHeap* heap);
  void UnlinkLocked(SpanId id) REQUIRES(large_lock_);
  void LinkLocked(ProgramHeap* heap, SpanId id) REQUIRES(large_lock_);
  size_t ListLarge(ProgramHeap* heap, std::span<SpanId> out);
  struct LargePlace {
    uintptr_t address = 0;
    size_t size = 0;
  };
  LargePlace PlaceOf(const ProgramHeap* heap, SpanId id);
  Visited VisitClass(SizeClassHeap& heap, Visitor visit, void* context);
  Visited VisitLarge(ProgramHeap* heap, Visitor visit, void* context);

  Arena& arena_;
  Backing& backing_;
  SpanReleaser& releaser_;
  std::span<SizeClassHeap> main_;
  SlotOrder order_ = SlotOrder::kRandomStart;
  ProgramClassList all_;
  Mutex lock_{LockRank::kProgramHeaps};
  Mutex large_lock_{LockRank::kLargeLists};
  std::atomic<Chunk*> by_id_[(kMostHeaps + kChunk) / kChunk] = {};
  uint32_t made_ GUARDED_BY(lock_) = 0;
  ProgramHeap* free_ GUARDED_BY(lock_) = nullptr;
  Random random_ GUARDED_BY(lock_);
};

}  // namespace mesh
