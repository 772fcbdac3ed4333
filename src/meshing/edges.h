// Edges: where a span's two ends are ends of mappings.
//
//   private | page 7 | page 8 | private       spans that show neighbouring pages of the backing are
//           ^                 ^               one mapping, as neighbours in private memory are
//
// Room: meshing; above miniheap. Locks: the size class's. A neighbour of another class, whose
// records its own lock guards, counts as private memory.
#pragma once

#include <cstdint>

#include "src/miniheap/mini_heap.h"

namespace mesh {

// Of the span's two edges, those at which a mapping ends if the span shows `backing`
// (kNoBackingPage: private memory).
int64_t CountEdges(const MiniHeap& span, BackingPage backing);

}  // namespace mesh
