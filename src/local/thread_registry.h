// ThreadRegistry: all thread heaps, those in use and those that wait for a new thread.
//
// Room: local. Locks: kThreadRegistry; nothing is allocated from the heap under it.
#pragma once

#include <cstdint>

#include "src/base/intrusive_list.h"
#include "src/base/mutex.h"
#include "src/local/thread_local_heap.h"

namespace mesh {

class ThreadRegistry {
 public:
  constexpr ThreadRegistry() = default;

  // A heap for the calling thread, or null when there is no memory for one.
  ThreadLocalHeap* Acquire(GlobalHeap* global, uint64_t seed, SlotOrder order);
  // The thread ends: everything it holds goes back, and the heap waits for another.
  void Retire(ThreadLocalHeap* heap);

  // In a fork's child: the heaps of all threads but `mine` are cleared; their threads are not here.
  void ReclaimAfterFork(ThreadLocalHeap* mine);

  // Empties heaps whose threads rest, and have rested without a break since the call before; with
  // `at_once` all that rest now.
  // Returns: bytes of free slots that have gone to the global heap.
  size_t EmptyResting(bool at_once);

  // Whether a free slot waits in some thread's vector.
  bool Holds(const void* slot, SizeClass size_class);

  // Bytes of free slots that threads hold.
  size_t cached_bytes();
  size_t thread_count();

  Mutex& lock() { return lock_; }

 private:
  friend struct WindowLayout;  // tells other processes where the figures lie
  void LookAtRests(bool at_once);
  // A heap that is due to be emptied, or null.
  ThreadLocalHeap* TakeResting();

  // Ids below are for callers without a heap of their own; 0 is nobody.
  static constexpr uint32_t kFirstId = 2;

  Mutex lock_{LockRank::kThreadRegistry};
  IntrusiveList<ThreadLocalHeap> active_ GUARDED_BY(lock_);
  IntrusiveList<ThreadLocalHeap> idle_ GUARDED_BY(lock_);
  uint32_t next_id_ GUARDED_BY(lock_) = kFirstId;
};

}  // namespace mesh
