// Large objects of the Arena, those that have a segment of their own excepted (arena_huge.cc).
#include <algorithm>
#include <cstring>
#include <new>

#include "src/arena/arena.h"
#include "src/os/memory.h"

namespace mesh {

SpanId Arena::AllocateLarge(size_t pages, size_t alignment, bool zeroed, size_t room) {
  bool clean = false;
  pages = std::max(pages, LargeObject::kLeastPages);
  SpanId id = guards_large_ ? kNoSpan : TakeCached(pages, alignment);
  if (id == kNoSpan) {
    id = TakeLarge(pages, alignment, room, &clean);
    MakeUp();
  }
  if (id == kNoSpan) return kNoSpan;
  if (const PageCount warmed = PageMap::Record<LargeObject>(id)->warmed; warmed > 0) {
    memset(reinterpret_cast<void*>(PageMap::AddressOf(id)), 0, size_t{warmed} << kPageShift);
  }
  // All of it: it may have been longer, and is going to be resized as what it is.
  if (zeroed && !clean) {
    residency_.Clear(PageMap::AddressOf(id), PageMap::Record<LargeObject>(id)->pages);
  }
  return id;
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

SpanId Arena::TakeLarge(size_t pages, size_t alignment, size_t room, bool* clean) {
  TakeBackCached();
  size_t alignment_pages = alignment >> kPageShift;
  bool huge = pages > kMaxRunPages || alignment_pages > kMaxRunPages - pages;
  PageCount run = static_cast<PageCount>(huge ? 1 : pages);
  *clean = true;
  MutexLock lock(lock_);
  if (guards_large_ && !huge && alignment_pages == 1) {
    const PageCount behind = static_cast<PageCount>(room < kMaxRunPages ? room : 0) + 1;
    SpanId id = TakeGuardedLocked(run, behind, clean);
    if (id != kNoSpan) {
      StartLargeLocked(id, pages, run);
      LargeObject* object = PageMap::Record<LargeObject>(id);
      object->guard_pages = behind;
      if (*clean) object->warmed = static_cast<uint16_t>(TakeWarmLocked(id, run));
      object->moved = object->warmed > 0;
      warmed_ += object->moved;
      return id;
    }
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

void Arena::FreeLarge(SpanId id) {
  // Until the lock is taken it is the caller's.
  const size_t pages = PageMap::Record<LargeObject>(id)->pages;
  const bool moved = PageMap::Record<LargeObject>(id)->moved;
  if (RunCache::Takes(pages) && !moved && !guards_large_) {
    RunCache::Leaving leaving;
    cache_.Give({id, static_cast<PageCount>(pages)}, &leaving);
    return GiveLarge({leaving.runs, leaving.count});
  }
  bool is_huge = PageMap::SegmentOf(id).huge_reserved != 0;
  size_t there = is_huge ? 0 : residency_.Estimate(PageMap::AddressOf(id), pages);
  MutexLock lock(lock_);
  NoteEndedLocked(pages);
  if (is_huge) return FreeHugeLocked(id);
  const LargeObject& object = *PageMap::Record<LargeObject>(id);
  const PageCount guard_pages = object.guard_pages;
  warmed_ -= object.warmed > 0;
  if (guards_large_ && RestLocked(id, object)) return;
  size_t bytes = pages << kPageShift;
  bool fresh = moved && os::MapPrivateFixed(PageMap::AddressOf(id), bytes).ok();
  Run run{id, static_cast<PageCount>(pages)};
  PageMap::ClearLarge(id, run.pages);
  if (guards_large_) TakeGuardsDownLocked(guard_pages, &run);
  large_runs_.Give(run.id, run.pages, !fresh, static_cast<PageCount>(there));
  LimitDirtyLocked(false, run.pages);
}

bool Arena::ResizeLarge(SpanId id, size_t pages) {
  pages = std::max(pages, LargeObject::kLeastPages);
  TakeBackCached();  // what it may grow into
  bool resized = false;
  {
    MutexLock lock(lock_);
    size_t old_pages = PageMap::Record<LargeObject>(id)->pages;
    resized = ResizeLargeLocked(id, pages);
    // Wraps on purpose when it shrinks.
    if (resized) statistics_.large_bytes += (pages - old_pages) << kPageShift;
  }
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
  size_t bytes = PageMap::Record<LargeObject>(from)->bytes();
  if (!os::MovePagesKeepSource(PageMap::AddressOf(from), bytes, PageMap::AddressOf(to)).ok()) {
    return false;
  }
  PageMap::Record<LargeObject>(to)->moved = true;
  FreeLarge(from);
  return true;
}

}  // namespace mesh
