// See span_releaser.h.
#include "src/meshing/span_releaser.h"

#include "src/base/check.h"
#include "src/meshing/edges.h"
#include "src/os/memory.h"

namespace mesh {

bool SpanReleaser::Release(MiniHeap* span) {
  MESH_DCHECK(span->is_alone() && span->occupancy().IsEmpty());
  SpanId id = span->id();
  PageCount pages = span->pages();
  if (span->memory() == SpanMemory::kPrivate) {
    arena_.FreeSpan(id, pages, true);
    return true;
  }
  // Dropping pages would show the file's bytes again: fresh memory instead.
  if (!os::MapPrivateFixed(span->address(), span->length()).ok()) return false;
  // Like its neighbours again, so that the mappings merge; refused, they stay apart.
  static_cast<void>(os::AdviseNoHugePage(span->address(), span->length()));
  budget_.Give(CountEdges(*span, span->backing()) - CountEdges(*span, kNoBackingPage));
  arena_.FreeSpan(id, pages, false);
  return true;
}

}  // namespace mesh
