// Guards of the Arena, for hardened heaps: pages without access around spans and large objects, the
// rest that freed large objects take, and the states of slots.
//
//   entries   ... | 0 free | guard | object, span ... | guard | 0 free | ...
//                          | resting .......................  |
//
// Guards and what rests have entries of kReservedClass, so that free runs do not grow into them. A
// guard is what a page costs of address space, and up to two mappings; so there is a limit.
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

void Mark(SpanId id, PageIndex place) {
  // order: relaxed; as in Is().
  EntryOf(id).store(PageEntry(kReservedClass, place), std::memory_order_relaxed);
}

}  // namespace

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

bool Arena::PutGuardUp(SpanId id, PageCount pages, PageIndex place, bool clean) {
  uintptr_t address = PageMap::AddressOf(id);
  size_t bytes = size_t{pages} << kPageShift;
  // What was there would stay in memory, out of everybody's reach.
  if (!clean) static_cast<void>(os::ReleasePages(address, bytes));
  if (!os::Protect(address, bytes, os::Protection::kNone).ok()) return false;
  Mark(place == PageEntry::kGuardBefore ? id : id + pages - 1, place);
  return true;
}

// A guard that the kernel keeps up rests for good: it is nobody's any more.
bool Arena::TakeGuardDown(SpanId id, PageCount pages) {
  size_t bytes = size_t{pages} << kPageShift;
  if (os::Protect(PageMap::AddressOf(id), bytes, os::Protection::kReadWrite).ok()) {
    PageMap::ClearLarge(id, pages);
    return true;
  }
  Mark(id, PageEntry::kResting);
  Mark(id + pages - 1, PageEntry::kResting);
  return false;
}

SpanId Arena::TakeGuardedLocked(bool small, PageCount pages, PageCount behind, bool* clean) {
  if (guarded_[small] == kMostGuarded || pages + behind >= kMaxRunPages) return kNoSpan;
  const PageCount all = 1 + pages + behind;
  SpanId id = TakeLocked(small, all, 1, clean);
  if (id == kNoSpan) return kNoSpan;
  if (PutGuardUp(id, 1, PageEntry::kGuardBefore, *clean)) {
    if (PutGuardUp(id + 1 + pages, behind, PageEntry::kGuardBehind, *clean)) {
      guarded_[small]++;
      return id + 1;
    }
    if (!TakeGuardDown(id, 1)) {
      HeapOf(small).Give(id + 1, all - 1, !*clean);
      return kNoSpan;
    }
  }
  HeapOf(small).Give(id, all, !*clean);
  return kNoSpan;
}

void Arena::TakeGuardsDownLocked(bool small, PageCount behind, Run* run) {
  if (behind == 0 || PageMap::PageOf(run->id) == 0) return;
  if (!Is(run->id - 1, PageEntry::kGuardBefore)) return;
  guarded_[small]--;
  if (TakeGuardDown(run->id + run->pages, behind)) run->pages += behind;
  if (TakeGuardDown(run->id - 1, 1)) {
    run->id--;
    run->pages++;
  }
}

// The border between an object and the guard behind it moves; a page of that stays. No guard: only
// the object's own length will do.
bool Arena::ResizeGuardedLocked(SpanId id, PageCount pages) {
  LargeObject* object = PageMap::Record<LargeObject>(id);
  const PageCount old = static_cast<PageCount>(object->pages);
  if (object->guard_pages == 0 || pages >= old + object->guard_pages) return false;
  const bool grows = pages > old;
  const PageCount moved = grows ? pages - old : old - pages;
  uintptr_t border = PageMap::AddressOf(id + (grows ? old : pages));
  size_t bytes = size_t{moved} << kPageShift;
  os::Protection wanted = grows ? os::Protection::kReadWrite : os::Protection::kNone;
  if (!os::Protect(border, bytes, wanted).ok()) return false;
  // What is behind the border is zeros, should the object grow again. Until it is cut, it is whole.
  if (!grows && !os::ReleasePages(border, bytes).ok()) {
    if (os::Protect(border, bytes, os::Protection::kReadWrite).ok()) return false;
  }
  PageMap::ClearLarge(id, old);
  PageMap::SetEnds(id, pages, kLargeClass);
  object->SetPages(pages);
  object->guard_pages = object->guard_pages + old - pages;
  return true;
}

bool Arena::RestLocked(Run run, PageCount guard_pages) {
  const PageCount most = segment_pages_ / 2;
  if (run.pages + guard_pages + 1 > most / 4) return false;
  uintptr_t address = PageMap::AddressOf(run.id);
  size_t bytes = size_t{run.pages} << kPageShift;
  if (!os::ReleasePages(address, bytes).ok()) return false;
  const bool is_shut = os::Protect(address, bytes, os::Protection::kNone).ok();
  // A part may have changed; what cannot be opened again is lost.
  if (!is_shut && os::Protect(address, bytes, os::Protection::kReadWrite).ok()) return false;
  if (guard_pages > 0) {
    run = {run.id - 1, 1 + run.pages + guard_pages};
    guarded_[false]--;
  }
  Mark(run.id, PageEntry::kResting);
  Mark(run.id + run.pages - 1, PageEntry::kResting);
  if (!is_shut) return true;
  while (resting_count_ == kMostResting || resting_pages_ + run.pages > most) {
    WakeLocked(random_.Below(resting_count_));
  }
  resting_[resting_count_++] = run;
  resting_pages_ += run.pages;
  return true;
}

// Makes the index-th of those that rest a free run. One that the kernel keeps shut is lost.
void Arena::WakeLocked(uint32_t index) {
  Run run = resting_[index];
  resting_[index] = resting_[--resting_count_];
  resting_pages_ -= run.pages;
  size_t bytes = size_t{run.pages} << kPageShift;
  if (!os::Protect(PageMap::AddressOf(run.id), bytes, os::Protection::kReadWrite).ok()) return;
  PageMap::ClearLarge(run.id, run.pages);
  large_runs_.Give(run.id, run.pages, false);
}

}  // namespace mesh
