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

// Whether what shows `low` goes on in what shows `high`, `pages` behind it: both are private
// memory, or neighbouring pages.
constexpr bool GoesOn(BackingPage low, BackingPage high, PageCount pages) {
  if (low == kNoBackingPage || high == kNoBackingPage) return low == high;
  return low + pages == high;
}

// Of the span's two edges, those at which a mapping ends if the span shows `backing`
// (kNoBackingPage: private memory).
int64_t CountEdges(const MiniHeap& span, BackingPage backing);

}  // namespace mesh
