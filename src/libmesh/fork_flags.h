// ForkKind: what the flags of clone mean for the heap.
//
// Room: libmesh. Thread rule: pure functions.
#pragma once

#include <sched.h>

#include <cstdint>

namespace mesh {

enum class ForkKind {
  kCopiesMemory,   // the child has the memory copied on write: a fork
  kSharesMemory,   // a thread, or a process that runs beside us in our memory
  kBorrowsMemory,  // as vfork: in our memory, but the caller waits until it is gone
};

inline ForkKind ForkKindOf(uint64_t clone_flags) {
  if ((clone_flags & CLONE_VM) == 0) return ForkKind::kCopiesMemory;
  return (clone_flags & CLONE_VFORK) != 0 ? ForkKind::kBorrowsMemory : ForkKind::kSharesMemory;
}

}  // namespace mesh
