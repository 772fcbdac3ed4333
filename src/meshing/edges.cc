// See edges.h.
#include "src/meshing/edges.h"

namespace mesh {
namespace {

// What the span of the class at `address` shows. Of spans of program heaps nobody knows whether
// they are under the caller's lock: they count as if they showed none, which is a mapping too many
// at worst.
BackingPage BackingAt(uintptr_t address, SizeClass size_class) {
  PageEntry entry = PageMap::Find(address);
  if (entry.size_class() != size_class || size_class == kProgramHeapClass) return kNoBackingPage;
  return MiniHeap::Of(PageMap::SpanOf(address, entry))->backing();
}

}  // namespace

int64_t CountEdges(const MiniHeap& span, BackingPage backing) {
  SizeClass size_class = PageMap::Find(span.address()).size_class();
  BackingPage below = BackingAt(span.address() - 1, size_class);
  BackingPage above = BackingAt(span.address() + span.length(), size_class);
  // Spans of another length are no neighbours in the backing but by chance.
  return (GoesOn(below, backing, span.pages()) ? 0 : 1) +
         (GoesOn(backing, above, span.pages()) ? 0 : 1);
}

}  // namespace mesh
