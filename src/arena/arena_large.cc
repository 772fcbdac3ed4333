// Large objects of the Arena, those that have a segment of their own excepted (arena_huge.cc).
#include <algorithm>
#include <cstring>
#include <new>

#include "src/arena/arena.h"
#include "src/os/memory.h"

namespace mesh {

SpanId Arena::TakePlace(size_t pages, size_t alignment, size_t room, bool warm, bool* clean) {
  pages = std::max(pages, LargeObject::kLeastPages);
  SpanId id = guards_large_ ? kNoSpan : TakeCached(pages, alignment);
  if (id == kNoSpan) {
    id = TakeLarge(pages, alignment, room, warm, clean);
    MakeUp();
  }
  return id;
}

SpanId Arena::AllocateLarge(size_t pages, size_t alignment, bool zeroed, size_t room) {
  bool clean = false;
  const SpanId id = TakePlace(pages, alignment, room, true, &clean);
  if (id == kNoSpan) return kNoSpan;
  const PageCount taken = PageMap::Record<LargeObject>(id)->pages;
  ClearWarmed(id, 0, taken);
  // All of it: it may have been longer, and is going to be resized as what it is.
  if (zeroed && !clean) residency_.Clear(PageMap::AddressOf(id), taken);
  return id;
}

void Arena::ClearWarmed(SpanId id, size_t from, size_t to) {
  const size_t end = std::min<size_t>(PageMap::Record<LargeObject>(id)->warmed, to);
  if (end <= from) return;
  memset(reinterpret_cast<void*>(PageMap::AddressOf(id) + (from << kPageShift)), 0,
         (end - from) << kPageShift);
}

SpanId Arena::TakeCached(size_t pages, size_t alignment) {
  if (!RunCache::Takes(pages)) return kNoSpan;
  PageCount wanted = static_cast<PageCount>(pages);
  if (alignment <= kPageSize) {
    RunCache::Run run = cache_.Take(wanted);
    if (run.id != kNoSpan) {
      PageMap::SetEnds(run.id, run.pages, kLargeClass);  // its record is as it was
      return run.id;
    }
    MutexLock lock(lock_);
    SpanId id = large_runs_.TakeDirty(wanted, &wanted);
    if (id != kNoSpan) return StartLargeLocked(id, pages, wanted);
  }
  return kNoSpan;
}

SpanId Arena::TakeLarge(size_t pages, size_t alignment, size_t room, bool warm, bool* clean) {
  TakeBackCached();
  size_t alignment_pages = alignment >> kPageShift;
  bool huge = pages > kMaxRunPages || alignment_pages > kMaxRunPages - pages;
  PageCount run = static_cast<PageCount>(huge ? 1 : pages);
  *clean = true;
  MutexLock lock(lock_);
  if (guards_large_ && !huge && alignment_pages == 1) {
    PageCount behind = static_cast<PageCount>(room < kMaxRunPages ? room : 0) + 1;
    SpanId id = TakeGuardedLocked(run, behind, clean);
    if (id == kNoSpan && behind > 1) {
      behind = 1;
      id = TakeGuardedLocked(run, behind, clean);
    }
    if (id != kNoSpan) return StartGuardedLocked(id, run, behind, warm && *clean);
  }
  SpanId id = huge ? AllocateHugeLocked(pages, alignment)
                   : TakeLocked(false, run, static_cast<PageCount>(alignment_pages), clean);
  return id != kNoSpan ? StartLargeLocked(id, pages, run) : kNoSpan;
}

SpanId Arena::StartLargeLocked(SpanId id, size_t pages, PageCount run) {
  new (PageMap::Record<LargeObject>(id)) LargeObject{static_cast<PageCount>(pages)};
  statistics_.large_count++;
  statistics_.large_bytes += pages << kPageShift;
  PageMap::SetEnds(id, run, kLargeClass);
  // What rests takes address space without memory: no more is used than at the peak.
  if (guards_large_ && statistics_.large_bytes > large_peak_) {
    NoteGrownLocked(false, (statistics_.large_bytes - large_peak_) >> kPageShift);
    large_peak_ = statistics_.large_bytes;
  }
  return id;
}

SpanId Arena::StartGuardedLocked(SpanId id, PageCount pages, PageCount behind, bool warm) {
  StartLargeLocked(id, pages, pages);
  LargeObject* object = PageMap::Record<LargeObject>(id);
  object->guard_pages = behind;
  bool is_lost = false;
  if (warm) object->warmed = static_cast<uint16_t>(TakeWarmLocked(id, pages, behind - 1, &is_lost));
  object->moved = object->warmed > 0;
  warmed_ += object->moved;
  warm_room_ += object->warm_room();
  if (!is_lost) return id;
  LoseLargeLocked(id);
  return kNoSpan;
}

void Arena::NoteEndedLocked(size_t pages) {
  statistics_.large_count--;
  statistics_.large_bytes -= pages << kPageShift;
}

void Arena::TakeBackCached() {
  RunCache::Leaving leaving;
  while (cache_.TakeBack(&leaving)) GiveLarge({leaving.runs, leaving.count});
}

void Arena::GiveLarge(std::span<const RunCache::Run> runs) {
  if (runs.empty()) return;
  MutexLock lock(lock_);
  for (const RunCache::Run& run : runs) {
    NoteEndedLocked(run.pages);
    PageMap::ClearLarge(run.id, run.pages);
    large_runs_.Give(run.id, run.pages, true);
    LimitDirtyLocked(false, run.pages);
  }
}

void Arena::FreeLarge(SpanId id, bool is_empty) {
  // Until the lock is taken it is the caller's.
  const size_t pages = PageMap::Record<LargeObject>(id)->pages;
  const bool moved = PageMap::Record<LargeObject>(id)->moved;
  if (RunCache::Takes(pages) && !moved && !guards_large_) {
    RunCache::Leaving leaving;
    cache_.Give({id, static_cast<PageCount>(pages)}, &leaving);
    return GiveLarge({leaving.runs, leaving.count});
  }
  if (PageMap::Record<LargeObject>(id)->lost) {
    MutexLock lock(lock_);
    return LoseLargeLocked(id);
  }
  bool is_huge = PageMap::SegmentOf(id).huge_reserved != 0;
  size_t there = is_huge ? 0 : residency_.Estimate(PageMap::AddressOf(id), pages);
  MutexLock lock(lock_);
  NoteEndedLocked(pages);
  if (is_huge) return FreeHugeLocked(id);
  const LargeObject& object = *PageMap::Record<LargeObject>(id);
  const PageCount guard_pages = object.guard_pages;
  warmed_ -= object.warmed > 0;
  warm_room_ -= object.warm_room();
  if (guards_large_ && RestLocked(id, object, is_empty)) return;
  size_t bytes = (pages + object.warm_room()) << kPageShift;
  bool fresh = moved && os::MapPrivateFixed(PageMap::AddressOf(id), bytes).ok();
  if (!fresh && object.warm_room() > 0) return MarkRestingLocked(id, object);
  Run run{id, static_cast<PageCount>(pages)};
  PageMap::ClearLarge(id, run.pages);
  if (guards_large_) TakeGuardsDownLocked(guard_pages, &run);
  large_runs_.Give(run.id, run.pages, !fresh, static_cast<PageCount>(there));
  LimitDirtyLocked(false, run.pages);
}

bool Arena::ResizeLarge(SpanId id, size_t pages) {
  pages = std::max(pages, LargeObject::kLeastPages);
  TakeBackCached();  // what it may grow into
  const size_t old_pages = PageMap::Record<LargeObject>(id)->pages;
  bool resized = false;
  {
    MutexLock lock(lock_);
    resized = ResizeLargeLocked(id, pages);
    // Wraps on purpose when it shrinks.
    if (resized) statistics_.large_bytes += (pages - old_pages) << kPageShift;
  }
  if (resized) ClearWarmed(id, old_pages, pages);
  MakeUp();
  return resized;
}

bool Arena::ResizeLargeLocked(SpanId id, size_t pages) {
  Segment& segment = PageMap::SegmentOf(id);
  if (segment.huge_reserved != 0) return ResizeHugeLocked(id, pages);
  LargeObject* object = PageMap::Record<LargeObject>(id);
  if (pages > kMaxRunPages) return false;
  if (guards_large_) return ResizeGuardedLocked(id, static_cast<PageCount>(pages));
  PageCount old = object->pages;
  PageCount wanted = static_cast<PageCount>(pages);
  if (wanted < old) {
    PageMap::ClearLarge(id, old);
    PageMap::SetEnds(id, wanted, kLargeClass);
    // A record inside the object becomes a free run's; the head's stays.
    large_runs_.Give(id + wanted, old - wanted, true);
    object->SetPages(wanted);
    LimitDirtyLocked(false, old - wanted);
    return true;
  }
  PageCount more = wanted - old;
  PageCount free = large_runs_.FreePagesAt(id + old, more);
  if (free < more) {
    PageCount room = segment.pages - segment.committed;
    if (PageMap::PageOf(id) + old + free != segment.committed || room < more - free) return false;
    PageCount step = static_cast<PageCount>(RoundUp(more - free, kCommitStep));
    if (!CommitLocked(segment, step < room ? step : room)) return false;
  }
  large_runs_.TakeAt(id + old, more);
  PageMap::ClearLarge(id, old);
  PageMap::SetEnds(id, wanted, kLargeClass);
  object->SetPages(wanted);
  return true;
}

bool Arena::MoveLarge(SpanId from, SpanId to) {
  LargeObject& source = *PageMap::Record<LargeObject>(from);
  const os::MoveOutcome moved =
      os::MovePagesKeepSource(PageMap::AddressOf(from), source.bytes(), PageMap::AddressOf(to));
  LargeObject& target = *PageMap::Record<LargeObject>(to);
  target.moved = true;
  target.lost = moved.has_hole;
  if (!moved.ok()) return false;
  // What the program has asked of these addresses, with madvise or mprotect, they still have.
  source.moved = true;
  FreeLarge(from, true);
  return true;
}

// A part of it is mapped no more, and may be another's at any time: nobody uses it again.
void Arena::LoseLargeLocked(SpanId id) {
  const LargeObject& object = *PageMap::Record<LargeObject>(id);
  NoteEndedLocked(object.pages);
  warmed_ -= object.warmed > 0;
  warm_room_ -= object.warm_room();
  if (PageMap::SegmentOf(id).huge_reserved == 0) MarkRestingLocked(id, object);
}

}  // namespace mesh
