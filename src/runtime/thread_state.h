// ThreadState: what the runtime keeps for each thread, in thread-local storage.
//
// Room: runtime. Thread rule: the thread itself. `__thread`, not thread_local: no wrapper function,
// no constructor, usable before the program's own start.
#pragma once

#include "src/local/thread_local_heap.h"
#include "src/meshing/published.h"

namespace mesh {

class ProgramHeap;

// The heap of threads that have none: nothing in it, room for nothing, so that every fast path
// ends in the slow one.
extern ThreadLocalHeap no_heap;

struct ThreadState {
  // What the fast paths use: the thread's own heap, but no_heap where that is a hardened one.
  ThreadLocalHeap* heap;
  // The thread's exit has begun: its heap is gone and it gets no new one.
  bool has_exited;
  // The thread is inside a slow path: hooks called from a signal handler keep out.
  bool is_busy;
  // Where the thread publishes what it lends to the kernel; null until it does.
  SyscallBuffers::Record* record;
  // Set by the program: the heap that malloc takes memory from, and its generation then. `heap` is
  // no_heap meanwhile, and own_heap what it was, null if it was none.
  ProgramHeap* default_heap;
  uint32_t default_generation;
  // Where `heap` is no_heap for this or because the heap is hardened: the thread's own.
  ThreadLocalHeap* own_heap;
  uint32_t program_heap_frees;  // how many, round
  uint8_t running_hooks;        // of the program's hooks, which run in this thread
  bool is_ending;               // this thread ends the program: program_hooks.h, [PH1]
  // It waits for something, or has not used the allocator since: `heap` is no_heap meanwhile, and
  // others may empty what it was (local/rest_state.h), resting_heap, which is set from the first
  // rest on.
  bool is_resting;
  ThreadLocalHeap* resting_heap;
};

extern __thread ThreadState thread_state;

inline bool HasHeap() { return thread_state.heap != &no_heap; }

// Ends the calling thread's rest. Returns: its heap.
ThreadLocalHeap* EndRest();
inline void EndRestIfAny() {
  if (thread_state.is_resting) EndRest();
}

// The thread's heap, also while malloc does not use it; null if it has none.
inline ThreadLocalHeap* OwnHeap() {
  if (MESH_LIKELY(HasHeap())) return thread_state.heap;
  return MESH_UNLIKELY(thread_state.is_resting) ? EndRest() : thread_state.own_heap;
}

// Marks the calling thread busy for the length of a scope.
class BusyScope {
 public:
  BusyScope() : before_(thread_state.is_busy) { thread_state.is_busy = true; }
  ~BusyScope() { thread_state.is_busy = before_; }
  BusyScope(const BusyScope&) = delete;
  BusyScope& operator=(const BusyScope&) = delete;

 private:
  bool before_;
};

}  // namespace mesh
