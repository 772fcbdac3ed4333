// See mallinfo.h.
#include "src/libmesh/mallinfo.h"

#include <climits>
#include <cstddef>

namespace mesh {
namespace {

int Saturate(size_t figure) {
  return figure < static_cast<size_t>(INT_MAX) ? static_cast<int>(figure) : INT_MAX;
}

}  // namespace

struct mallinfo2 ToMallinfo2(const Statistics& s) {
  struct mallinfo2 info = {};
  info.arena = s.arena_committed_bytes;
  for (size_t i = 0; i < s.class_count; i++) {
    const ClassStatistics& c = s.classes[i];
    if (c.capacity_objects > c.live_objects) info.ordblks += c.capacity_objects - c.live_objects;
  }
  info.hblks = s.large_count;
  info.hblkhd = s.large_bytes;
  info.uordblks = s.live_bytes;
  if (s.arena_committed_bytes > s.live_bytes) {
    info.fordblks = s.arena_committed_bytes - s.live_bytes;
  }
  info.keepcost = s.dirty_bytes;
  return info;
}

struct mallinfo ToMallinfo(const Statistics& statistics) {
  struct mallinfo2 wide = ToMallinfo2(statistics);
  struct mallinfo info = {};
  info.arena = Saturate(wide.arena);
  info.ordblks = Saturate(wide.ordblks);
  info.hblks = Saturate(wide.hblks);
  info.hblkhd = Saturate(wide.hblkhd);
  info.uordblks = Saturate(wide.uordblks);
  info.fordblks = Saturate(wide.fordblks);
  info.keepcost = Saturate(wide.keepcost);
  return info;
}

bool IsMalloptParameter(int parameter) {
  switch (parameter) {
    case M_MXFAST:
    case M_NLBLKS:
    case M_GRAIN:
    case M_KEEP:
    case M_TRIM_THRESHOLD:
    case M_TOP_PAD:
    case M_MMAP_THRESHOLD:
    case M_MMAP_MAX:
    case M_CHECK_ACTION:
    case M_PERTURB:
    case M_ARENA_TEST:
    case M_ARENA_MAX:
      return true;
    default:
      return false;
  }
}

}  // namespace mesh
