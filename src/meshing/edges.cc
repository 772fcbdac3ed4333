// See edges.h.
#include "src/meshing/edges.h"

namespace mesh {
namespace {

// What the span of the class at `address` shows.
BackingPage BackingAt(uintptr_t address, SizeClass size_class) {
  PageEntry entry = PageMap::Find(address);
  if (entry.size_class() != size_class) return kNoBackingPage;
  return MiniHeap::Of(PageMap::SpanOf(address, entry))->backing();
}

// Whether a mapping ends where what shows `low` lies below what shows `high`, `pages` behind it.
bool IsEdge(BackingPage low, BackingPage high, PageCount pages) {
  if (low == kNoBackingPage || high == kNoBackingPage) return low != high;
  return low + pages != high;
}

}  // namespace

int64_t CountEdges(const MiniHeap& span, BackingPage backing) {
  BackingPage below = BackingAt(span.address() - 1, span.size_class());
  BackingPage above = BackingAt(span.address() + span.length(), span.size_class());
  // Spans of another length are no neighbours in the backing but by chance.
  return (IsEdge(below, backing, span.pages()) ? 1 : 0) +
         (IsEdge(backing, above, span.pages()) ? 1 : 0);
}

}  // namespace mesh
