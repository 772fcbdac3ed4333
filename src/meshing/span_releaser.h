// SpanReleaser: gives an empty virtual span back to the arena, whatever memory lies behind it.
//
// Room: meshing; above miniheap and arena. Locks: the size class's is held; takes kArena.
#pragma once

#include "src/arena/arena.h"
#include "src/meshing/mapping_budget.h"
#include "src/miniheap/mini_heap.h"

namespace mesh {

class SpanReleaser {
 public:
  SpanReleaser(Arena& arena, MappingBudget& budget) : arena_(arena), budget_(budget) {}

  // Gives `span` (alone, no slot set, in no list) back. An alias becomes private anonymous memory
  // first, and its mapping goes back to the budget; the backing's pages are the caller's to free.
  // Returns: false when the kernel refuses that; nothing has changed then, and the span stays
  // usable.
  bool Release(MiniHeap* span);

 private:
  Arena& arena_;
  MappingBudget& budget_;
};

}  // namespace mesh
