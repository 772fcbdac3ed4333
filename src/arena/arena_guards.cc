// Guards of the Arena, for hardened heaps: pages without access around spans and large objects, and
// the states of slots.
//
//   large   ... | 0 free | guard | object ... | guard | 0 free | ...
//                        | resting .................. |
//   small   ... | 0 free | guard | span ... | guard | span ... | guard | 0 free | ...
//                                | waiting  |
//
// Guards and what rests have entries of kReservedClass, so that free runs do not grow into them.
// What waits has none, and no neighbours but guards. A guard is marked in the page tables where the
// kernel can, and costs address space alone. Elsewhere it is protected, and costs up to two
// mappings; so there is a limit.
#include <algorithm>

#include "src/arena/arena.h"
#include "src/base/check.h"
#include "src/os/memory.h"

namespace mesh {
namespace {

std::atomic<PageEntry>& EntryOf(SpanId id) {
  return PageMap::SegmentOf(id).entries[PageMap::PageOf(id)];
}

bool Is(SpanId id, PageIndex place) {
  // order: relaxed; entries of kReservedClass change under the arena's lock.
  PageEntry entry = EntryOf(id).load(std::memory_order_relaxed);
  return entry.size_class() == kReservedClass && entry.page_in_span() == place;
}

// Whether the page so far behind the first of a span is a guard.
bool IsGuard(SpanId id, int64_t offset) {
  const int64_t page = PageMap::PageOf(id) + offset;
  if (page < 0 || page >= PageMap::SegmentOf(id).committed) return false;
  const SpanId there = static_cast<SpanId>(id + offset);
  return Is(there, PageEntry::kGuardBefore) || Is(there, PageEntry::kGuardBehind);
}

}  // namespace

void Arena::MarkReserved(SpanId id, PageIndex place) {
  // order: relaxed; as in Is().
  EntryOf(id).store(PageEntry(kReservedClass, place), std::memory_order_relaxed);
}

bool Arena::ReserveStatesLocked(Segment& segment) {
  size_t bytes = (size_t{segment.pages} << kPageShift) >> PageMap::kStateShift;
  // A guard on each side.
  os::Result<uintptr_t> place = os::Reserve(bytes + 2 * kPageSize);
  if (!place.ok()) return false;
  segment.states = reinterpret_cast<std::atomic<uint8_t>*>(place.value + kPageSize);
  statistics_.metadata_bytes += bytes + 2 * kPageSize;
  return PageMap::Enter(&segment);
}

bool Arena::CommitStates(const Segment& segment, PageCount pages) {
  size_t a_page = kPageSize >> PageMap::kStateShift;
  uintptr_t states = reinterpret_cast<uintptr_t>(segment.states);
  size_t had = RoundUp(segment.committed * a_page, kPageSize);
  size_t needs = RoundUp((size_t{segment.committed} + pages) * a_page, kPageSize);
  return needs == had || os::Commit(states + had, needs - had).ok();
}

bool Arena::ShutLocked(SpanId id, PageCount pages, bool clean) {
  uintptr_t address = PageMap::AddressOf(id);
  size_t bytes = size_t{pages} << kPageShift;
  if (can_mark_) {
    if (os::Guard(address, bytes).ok()) {
      has_marked_ = true;
      return true;
    }
    can_mark_ = false;
    static_cast<void>(os::Unguard(address, bytes));
  }
  // What was there would stay in memory, out of everybody's reach.
  if (!clean) static_cast<void>(os::ReleasePages(address, bytes));
  return os::Protect(address, bytes, os::Protection::kNone).ok();
}

bool Arena::OpenLocked(SpanId id, PageCount pages) {
  uintptr_t address = PageMap::AddressOf(id);
  size_t bytes = size_t{pages} << kPageShift;
  if (has_marked_ && !os::Unguard(address, bytes).ok()) return false;
  return can_mark_ || os::Protect(address, bytes, os::Protection::kReadWrite).ok();
}

bool Arena::ProtectPages(SpanId id, PageCount pages, bool open) {
  return os::Protect(PageMap::AddressOf(id), size_t{pages} << kPageShift,
                     open ? os::Protection::kReadWrite : os::Protection::kNone)
      .ok();
}

bool Arena::PutGuardUpLocked(SpanId id, PageCount pages, PageIndex place, bool clean) {
  if (!ShutLocked(id, pages, clean)) return false;
  MarkReserved(place == PageEntry::kGuardBefore ? id : id + pages - 1, place);
  return true;
}

// A guard that the kernel keeps up rests for good: it is nobody's any more.
bool Arena::TakeGuardDownLocked(SpanId id, PageCount pages) {
  if (OpenLocked(id, pages)) {
    PageMap::ClearLarge(id, pages);
    return true;
  }
  MarkReserved(id, PageEntry::kResting);
  MarkReserved(id + pages - 1, PageEntry::kResting);
  return false;
}

SpanId Arena::TakeGuardedLocked(PageCount pages, PageCount behind, bool* clean) {
  if (guarded_[false] >= MostGuardedLocked() || pages + behind >= kMaxRunPages) return kNoSpan;
  const PageCount all = 1 + pages + behind;
  SpanId id = TakeLocked(false, all, 1, clean);
  if (id == kNoSpan) return kNoSpan;
  if (PutGuardUpLocked(id, 1, PageEntry::kGuardBefore, *clean)) {
    if (PutGuardUpLocked(id + 1 + pages, behind, PageEntry::kGuardBehind, *clean)) {
      guarded_[false]++;
      return id + 1;
    }
    if (!TakeGuardDownLocked(id, 1)) {
      large_runs_.Give(id + 1, all - 1, !*clean);
      return kNoSpan;
    }
  }
  large_runs_.Give(id, all, !*clean);
  return kNoSpan;
}

void Arena::TakeGuardsDownLocked(PageCount behind, Run* run) {
  if (behind == 0) return;
  guarded_[false]--;
  if (TakeGuardDownLocked(run->id + run->pages, behind)) run->pages += behind;
  if (TakeGuardDownLocked(run->id - 1, 1)) {
    run->id--;
    run->pages++;
  }
}

// What of the guard is warm has no access by its protection alone; the rest has marks, or never had
// memory. The warm part goes last, so that nobody reaches what it holds if the other stays shut.
bool Arena::GrowIntoGuardLocked(SpanId id, PageCount from, PageCount to, PageCount warmed) {
  const PageCount border = std::clamp(warmed, from, to);
  if (border < to && !OpenLocked(id + border, to - border)) return false;
  if (border == from || ProtectPages(id + from, border - from, true)) return true;
  if (border < to) static_cast<void>(ShutLocked(id + border, to - border, false));
  return false;
}

// The warm part goes first: it keeps what it holds until all is shut.
bool Arena::ShrinkFromGuardLocked(SpanId id, PageCount from, PageCount to, PageCount warmed) {
  const PageCount border = std::clamp(warmed, to, from);
  const PageCount warm = border - to;
  if (warm > 0 && !ProtectPages(id + to, warm, false)) return false;
  if (border < from && !ShutLocked(id + border, from - border, false)) {
    if (warm > 0) static_cast<void>(ProtectPages(id + to, warm, true));
    return false;
  }
  if (warm > 0) {
    static_cast<void>(os::ReleasePages(PageMap::AddressOf(id + to), size_t{warm} << kPageShift));
  }
  return true;
}

// The border between an object and the guard behind it moves; a page of that stays. No guard: only
// the object's own length will do.
bool Arena::ResizeGuardedLocked(SpanId id, PageCount pages) {
  LargeObject* object = PageMap::Record<LargeObject>(id);
  const PageCount old = object->pages;
  if (object->guard_pages == 0 || pages >= old + object->guard_pages) return false;
  const bool moved = pages > old ? GrowIntoGuardLocked(id, old, pages, object->warmed)
                                 : ShrinkFromGuardLocked(id, old, pages, object->warmed);
  if (!moved) return false;
  PageMap::ClearLarge(id, old);
  PageMap::SetEnds(id, pages, kLargeClass);
  warm_room_ -= object->warm_room();
  object->SetPages(pages);
  warm_room_ += object->warm_room();
  object->guard_pages = object->guard_pages + old - pages;
  return true;
}

SpanId Arena::TakeSpanLocked(PageCount pages, bool* clean) {
  SpanId id = TakeWaitingLocked(pages, true);
  *clean = id == kNoSpan;
  if (id == kNoSpan) id = TakeWaitingLocked(pages, false);
  return id != kNoSpan ? id : TakeFreshSpanLocked(pages, clean);
}

// Runs are cut from their front, so a guard is likely to be before it: that of the last fresh one.
SpanId Arena::TakeFreshSpanLocked(PageCount pages, bool* clean) {
  if (guarded_[true] >= MostGuardedLocked()) return kNoSpan;
  PageCount before = 0;
  SpanId id = TakeLocked(true, pages + 1, 1, clean);
  if (id != kNoSpan && !IsGuard(id, -1)) {
    small_runs_.Give(id, pages + 1, !*clean);
    before = 1;
    id = TakeLocked(true, 1 + pages + 1, 1, clean);
  }
  if (id == kNoSpan) return kNoSpan;
  if (before > 0 && !PutGuardUpLocked(id, 1, PageEntry::kGuardBefore, *clean)) {
    small_runs_.Give(id, 1 + pages + 1, !*clean);
    return kNoSpan;
  }
  id += before;
  if (!PutGuardUpLocked(id + pages, 1, PageEntry::kGuardBehind, *clean)) {
    small_runs_.Give(id, pages + 1, !*clean);
    return kNoSpan;
  }
  guarded_[true]++;
  return id;
}

void Arena::WaitLocked(SpanId id, PageCount pages, bool dirty) {
  *PageMap::Record<SpanId>(id) = waiting_[dirty][pages];
  waiting_[dirty][pages] = id;
  if (dirty) waiting_dirty_ += pages;
  has_waiting_ = true;
}

SpanId Arena::TakeWaitingLocked(PageCount pages, bool dirty) {
  const SpanId id = waiting_[dirty][pages];
  if (id == kNoSpan) return kNoSpan;
  waiting_[dirty][pages] = *PageMap::Record<SpanId>(id);
  if (dirty) waiting_dirty_ -= pages;
  least_waiting_dirty_ = std::min(least_waiting_dirty_, waiting_dirty_);
  return id;
}

bool Arena::KeepSpanLocked(SpanId id, PageCount pages, bool dirty) {
  if (!IsGuard(id, -1) || !IsGuard(id, pages)) return false;
  WaitLocked(id, pages, dirty);
  return true;
}

PageCount Arena::PurgeWaitingLocked(PageCount most) {
  PageCount purged = 0;
  for (PageCount pages = kLongestSpan; pages > 0 && purged < most; pages--) {
    while (purged < most && waiting_[true][pages] != kNoSpan) {
      const SpanId id = waiting_[true][pages];
      const size_t bytes = size_t{pages} << kPageShift;
      if (!os::ReleasePages(PageMap::AddressOf(id), bytes).ok()) return purged;
      TakeWaitingLocked(pages, true);
      WaitLocked(id, pages, false);
      purged += pages;
    }
  }
  return purged;
}

// As dirty runs all of them, so that they are one with the guards between them.
bool Arena::TakeBackWaitingLocked() {
  if (!has_waiting_) return false;
  has_waiting_ = false;
  for (PageCount pages = 1; pages <= kLongestSpan; pages++) {
    for (bool dirty : {false, true}) {
      while (waiting_[dirty][pages] != kNoSpan) {
        const SpanId id = TakeWaitingLocked(pages, dirty);
        small_runs_.Give(id, pages, true, dirty ? pages : 0);
      }
    }
  }
  for (uint32_t i = 0; i < segment_count_; i++) {
    if (segments_[i]->small) TakeGuardsBetweenFreeRunsDownLocked(*segments_[i]);
  }
  return true;
}

void Arena::TakeGuardsBetweenFreeRunsDownLocked(const Segment& segment) {
  auto is_free = [&](PageIndex page) {
    // order: relaxed; entries of what is free change under the arena's lock.
    return segment.entries[page].load(std::memory_order_relaxed).is_empty();
  };
  for (PageIndex page = 1; page + 1 < segment.committed; page++) {
    const SpanId id = PageMap::IdOf(segment, page);
    if (!IsGuard(id, 0) || !is_free(page - 1) || !is_free(page + 1)) continue;
    if (!TakeGuardDownLocked(id, 1)) continue;
    small_runs_.Give(id, 1, true, 0);
    guarded_[true]--;
  }
}

}  // namespace mesh
