// The order of all locks, as one enum. A thread takes locks in rising rank only.
//
// Checked at run time in debug builds by Mutex, and stated nowhere else.
// Room: base.
#pragma once

#include <cstdint>

namespace mesh {

enum class LockRank : uint8_t {
  kBringUp,         // the runtime is being made: whatever it is made of may take its own locks
  kBackground,      // starting and stopping the background thread; libc allocates under it
  kPass,            // one pass at a time; held across all of it, plans included
  kMesh,            // the mesher, the barrier and the backing; held for one batch of a pass
  kThreadRegistry,  // list of thread heaps; may not allocate from the heap
  kProgramHeaps,    // which heaps the program has, and their classes
  kSizeClass,     // one per class: bins and bitmaps of its MiniHeaps; held while a batch is meshed
  kLargeLists,    // which large objects a program heap has
  kPendingFrees,  // one per class: objects that wait while a batch has the class
  kRunCache,      // one per shard: runs of medium objects that were freed a moment ago
  kArena,         // page runs and segments; system calls that give or take pages
  kBacking,       // pages of the backing windows
  kMetadata,      // chunks that metadata is cut from
  kThreadStart,   // records of threads that are being made; nothing is taken under it
  kLeaf,          // nothing is taken under it
};

}  // namespace mesh
