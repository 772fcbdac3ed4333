// The order of all locks, as one enum. A thread takes locks in rising rank only.
//
// Checked at run time in debug builds by Mutex, and stated nowhere else.
// Room: base.
#pragma once

#include <cstdint>

namespace mesh {

enum class LockRank : uint8_t {
  kBringUp,         // the runtime is being made: whatever it is made of may take its own locks
  kMesh,            // one mesher at a time; held across a whole pass; other threads never need it
  kThreadRegistry,  // list of thread heaps; may not allocate from the heap
  kSizeClass,  // one per class: bins and bitmaps of its MiniHeaps; held while a batch is meshed
  kArena,      // page runs and segments; system calls that give or take pages
  kBacking,    // pages of the backing windows
  kMetadata,   // chunks that metadata is cut from
  kLeaf,       // nothing is taken under it
};

}  // namespace mesh
