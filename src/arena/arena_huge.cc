// Huge objects of the Arena: a segment each, reserved in whole windows so that it can grow in
// place.
#include "src/arena/arena.h"
#include "src/os/limits.h"
#include "src/os/memory.h"

namespace mesh {
namespace {

// Rounded up to whole windows they are a PageCount yet: nearly 16 TiB.
constexpr size_t kMostHugePages = UINT32_MAX / kWindowPages * kWindowPages;

}  // namespace

SpanId Arena::AllocateHugeLocked(size_t pages, size_t alignment) {
  // A commitment that the kernel's own heuristic would refuse (proc(5), overcommit_memory=0) is
  // refused here, where reservations are not charged.
  if (alignment > kWindowSize || pages > kMostHugePages || pages > os::CommittablePages()) {
    return kNoSpan;
  }
  size_t reserved_pages = RoundUp(pages, kWindowPages);
  Segment* segment = NewSegmentLocked(false, reserved_pages, kPageSize / sizeof(SpanRecord));
  if (segment == nullptr) segment = NewSegmentLocked(false, pages, kPageSize / sizeof(SpanRecord));
  if (segment == nullptr) return kNoSpan;
  segment->huge_reserved = size_t{segment->pages} << kPageShift;
  SpanId id = PageMap::IdOf(*segment, 0);
  uintptr_t records = reinterpret_cast<uintptr_t>(segment->records);
  segment->committed = static_cast<PageCount>(pages);
  statistics_.committed_bytes += pages << kPageShift;
  if (!os::Commit(records, kPageSize).ok() ||
      !os::Commit(segment->base, pages << kPageShift).ok()) {
    FreeHugeLocked(id);
    return kNoSpan;
  }
  return id;
}

void Arena::FreeHugeLocked(SpanId id) {
  Segment& segment = PageMap::SegmentOf(id);
  PageMap::Remove(&segment);
  statistics_.segments--;
  statistics_.reserved_bytes -= segment.huge_reserved;
  statistics_.committed_bytes -= size_t{segment.committed} << kPageShift;
  statistics_.metadata_bytes -= segment.metadata_size;
  // A mapping that cannot be cut off (ENOMEM) stays as address space; its memory goes all the same.
  if (!os::Unmap(segment.base, segment.huge_reserved).ok()) {
    static_cast<void>(os::ReleasePages(segment.base, size_t{segment.committed} << kPageShift));
  }
  static_cast<void>(os::Unmap(segment.metadata, segment.metadata_size));
  segment.huge_reserved = 0;
  segment.next = free_huge_;
  free_huge_ = &segment;
}

bool Arena::ResizeHugeLocked(SpanId id, size_t pages) {
  Segment& segment = PageMap::SegmentOf(id);
  LargeObject* object = PageMap::Record<LargeObject>(id);
  if (pages <= kMaxRunPages || pages > kMostHugePages) return false;
  if (pages > segment.huge_reserved >> kPageShift) return false;
  uintptr_t end = segment.base + (uintptr_t{segment.committed} << kPageShift);
  if (pages > segment.committed) {
    size_t more = (pages - segment.committed) << kPageShift;
    if (pages > os::CommittablePages() || !os::Commit(end, more).ok()) return false;
    statistics_.committed_bytes += more;
    segment.committed = static_cast<PageCount>(pages);
  } else {
    size_t less = (object->pages - pages) << kPageShift;
    static_cast<void>(os::ReleasePages(segment.base + (pages << kPageShift), less));
  }
  object->SetPages(static_cast<PageCount>(pages));
  return true;
}

}  // namespace mesh
