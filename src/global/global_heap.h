// GlobalHeap: what all threads share: the heaps of the size classes, large objects, compaction.
//
// Room: global; composes meshing, miniheap and arena. Locks: those of its parts.
#pragma once

#include <cstddef>
#include <cstdint>

#include "src/arena/arena.h"
#include "src/global/compactor.h"
#include "src/global/program_heaps.h"
#include "src/global/size_class_heap.h"
#include "src/meshing/backing.h"
#include "src/meshing/barrier.h"
#include "src/meshing/mapping_budget.h"
#include "src/meshing/mesher.h"
#include "src/meshing/span_releaser.h"

namespace mesh {

class GlobalHeap {
 public:
  GlobalHeap();
  GlobalHeap(const GlobalHeap&) = delete;
  GlobalHeap& operator=(const GlobalHeap&) = delete;

  SizeClassHeap& size_class_heap(SizeClass size_class) { return heaps_[size_class - 1]; }
  std::span<SizeClassHeap> size_class_heaps() { return heaps_; }
  // The heaps that the program has made.
  ProgramHeaps& program_heaps() { return program_heaps_; }
  // The class that a span belongs to, of whatever heap.
  SizeClassHeap& HeapOf(const MiniHeap& span);

  // Whether forks must stay cheap: then spans get long early, at some cost in how densely they
  // mesh, because each mapping that meshing makes is one more for fork(2) to copy. Before first
  // use.
  void ExpectForks(bool expected);

  // An object of more than kMaxSmallSize bytes, or of an alignment above a page. Null when out of
  // memory. `zeroed`: all bytes are zero.
  // `shift`: bytes, less than a page, from the alignment to what is returned.
  // `room`: where objects are guarded, bytes of the guard behind it that it may grow into.
  void* AllocateLarge(size_t size, size_t alignment, bool zeroed, size_t shift = 0,
                      size_t room = 0);
  // The same for a program heap; *is_over as in ProgramHeaps::Allocate().
  void* AllocateLargeIn(ProgramHeap* heap, uint32_t generation, size_t size, size_t alignment,
                        bool zeroed, bool* is_over);
  // `object` has an entry of kLargeClass.
  void FreeLarge(void* object);
  // Part of a large object's size that it may have beyond what was asked for, after a realloc.
  static constexpr size_t kRoomShare = 8;
  // Where objects are guarded, bytes of the guard that one may grow into which has grown before:
  // that many again, as they are address space alone.
  static constexpr size_t kMostGuardedRoom = 16 * kMiB;
  static constexpr size_t GuardedRoom(size_t size) {
    return size < kMostGuardedRoom ? size : kMostGuardedRoom + size / kRoomShare;
  }
  // Makes a large object `size` (> kMaxSmallSize) bytes long, without copying: in place, or by
  // moving its pages. Null: neither can be done, or copying is cheaper; the object is as it was.
  void* ResizeLarge(void* object, size_t size);
  // Makes a large object longer where it lies. False: nothing has changed.
  bool ExpandLarge(void* object, size_t size);
  static size_t LargeSize(const void* object);
  // Ends the program when `object`, whose page has an entry of kLargeClass, is not the start of
  // one.
  static LargeObject* LargeRecord(const void* object);

  // One object of the class for a thread without a heap of its own.
  void* AllocateDirect(SizeClass size_class);
  void FreeDirect(void* object, SizeClass size_class);

  // Gives free memory back to the system: free slots of whole pages and free runs. Returns bytes.
  size_t Scavenge();
  // Meshes all that can be meshed, then Scavenge(). Returns bytes.
  size_t Compact();
  // The same inside one program heap.
  size_t CompactHeap(const ProgramHeap* heap, bool meshes);
  // Whose time a pass takes.
  enum class TimeOf : uint8_t {
    kWorker,      // a thread's that is at work: few spans are tried against each other
    kSleeper,     // a thread's that has nothing to do
    kBackground,  // nobody's: all others come first
  };
  // A pass of limited length, unless another one runs. `keeps_recent`: see PassLimits.
  PassResult CompactBriefly(uint64_t deadline_ns, TimeOf whose, bool keeps_recent);
  // Folds copies of meshed pages back (Compactor::Fold), unless another thread is at work.
  // Returns: whether it saved anything.
  bool FoldBriefly(uint64_t deadline_ns, TimeOf whose);
  // Whether stores may copy meshed pages, so that there may be something to fold.
  bool has_private_views() const { return backing_.has_private_views(); }

  // The program is about to close descriptors `first` to `last`: ours among them are given up.
  void GiveUpDescriptors(unsigned int first, unsigned int last);

  size_t large_count() { return arena_.statistics().large_count; }
  size_t large_bytes() { return arena_.statistics().large_bytes; }

  Arena& arena() { return arena_; }
  Backing& backing() { return backing_; }
  WriteBarrier& barrier() { return barrier_; }
  MappingBudget& budget() { return budget_; }
  Compactor& compactor() { return compactor_; }

 private:
  size_t PagesOfLarge(size_t bytes) const;
  size_t AlignmentOfLarge(size_t pages) const;

  friend struct WindowLayout;  // tells other processes where the figures lie

  // Passes until nothing more is gained: over all heaps, or over one that the program has made.
  size_t RunToTheEnd(uint16_t program_heap);

  // The owner id of AllocateDirect(): attached for one call only.
  static constexpr uint16_t kDirectOwner = 1;

  Arena arena_;
  Backing backing_;
  WriteBarrier barrier_;
  MappingBudget budget_;
  Mesher mesher_;
  SpanReleaser releaser_;
  void* pending_frees_[kClassCount - 1][PendingFrees::kMost];
  SizeClassHeap heaps_[kClassCount - 1];
  ProgramHeaps program_heaps_;
  Compactor compactor_;
};

}  // namespace mesh
