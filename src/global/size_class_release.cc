// SizeClassHeap, the half for frees: from objects to bits, lists and spans that go.
#include "src/base/check.h"
#include "src/global/size_class_heap.h"
#include "src/secure/slot_guard.h"

namespace mesh {
namespace {

// A window of 1 GiB, in which most addresses of a class lie: where their entries and records are.
struct Window {
  uintptr_t base = 0;
  size_t length = 0;  // 0: none of ours
  const std::atomic<PageEntry>* entries = nullptr;
  SpanRecord* records = nullptr;
};

MESH_NOINLINE Window WindowAt(uintptr_t address) {
  if (!PageMap::Owns(address)) return Window();
  const Segment& segment = PageMap::SegmentAt(address);
  return {address & ~(kWindowSize - 1), kWindowSize, segment.entries, segment.records};
}

}  // namespace

bool SizeClassHeap::ReleaseSpanLocked(MiniHeap* span) {
  bool is_backed = span->is_backed();
  PageCount pages = span->pages();
  uint32_t units = span->units();
  uint64_t* words = span->words_outside();
  // Who still has its id must not take it for this heap's, as soon as its pages are another's.
  span->SetOwner(kNobody);
  if (!releaser_->Release(span)) {
    span->SetOwner(RestingOwner());
    return false;
  }
  if (is_backed) backed_pages_ -= pages;
  GiveWordsLocked(words, units);
  NoteEndedLocked(units);
  return true;
}

void SizeClassHeap::NoteLeftLocked(const MiniHeap* member) {
  members_--;
  member_pages_ -= member->pages();
}

// A member without objects leaves its group, and goes. False: the kernel refuses.
bool SizeClassHeap::ReleaseMemberLocked(MiniHeap* member) {
  MiniHeap* leader = member->leader();
  member->Leave();
  NoteLeftLocked(member);
  if (ReleaseSpanLocked(member)) return true;
  members_++;
  member_pages_ += member->pages();
  leader->Adopt(member);
  return false;
}

// All objects of the group are gone. What the kernel refuses stays, as an empty span to draw from.
void SizeClassHeap::ReleaseGroupLocked(MiniHeap* leader) {
  bool released = true;
  leader->ForEachMember([&](MiniHeap* member) NO_THREAD_SAFETY_ANALYSIS {
    if (member != leader && !ReleaseMemberLocked(member)) released = false;
  });
  bool is_backed = leader->is_backed();
  BackingPage backing = leader->backing();
  PageCount pages = leader->pages();
  if (released && ReleaseSpanLocked(leader)) {
    if (is_backed) backing_->Free(backing, pages);
    return;
  }
  leader->SetPlace(SpanPlace::kPartial);
  leader->SetBin(0);
  partial_[0].PushFront(leader);
}

// Objects leave in two steps, so that the cache misses on the records of many spans overlap: where
// each lies is known from its page's entry, before its span's record is touched.
void SizeClassHeap::ReleaseLocked(void* const* objects, uint32_t count, bool lenient) {
  while (count > 0) {
    uint32_t some = count < kReleasedAtOnce ? count : kReleasedAtOnce;
    SlotPlace places[kReleasedAtOnce + 1];
    uint32_t located = LocateLocked({objects, some}, lenient, places);
    places[located].span = nullptr;
    in_use_ -= FreePlacesLocked(places, lenient);
    objects += some;
    count -= some;
  }
}

// Returns: how many of the objects lie in slots of this class.
uint32_t SizeClassHeap::LocateLocked(std::span<void* const> objects, bool lenient,
                                     SlotPlace* places) {
  const uint32_t first_entry = PageEntry(entry_class_, 0).bits();
  SlotFinder finder(size_class_);
  SlotPlace* place = places;
  Window window;
  MiniHeap* span = nullptr;              // of the last object
  uintptr_t page_address = UINTPTR_MAX;  // of the last object
  for (void* object : objects) {
    const auto address = reinterpret_cast<uintptr_t>(object);
    if (address - page_address >= kPageSize) {
      if (MESH_UNLIKELY(address - window.base >= window.length)) window = WindowAt(address);
      const size_t page = (address - window.base) >> kPageShift;
      PageEntry entry;
      // order: relaxed; entries of a class change under its lock.
      if (window.length > 0) entry = window.entries[page].load(std::memory_order_relaxed);
      const uint32_t page_in_span = entry.bits() - first_entry;
      if (MESH_UNLIKELY(page_in_span > PageEntry::kLastPage)) {
        RefuseFree(object, lenient, "free of a pointer that is not in use");
        continue;
      }
      span = reinterpret_cast<MiniHeap*>(window.records + (page - page_in_span));
      MESH_PREFETCH_TO_WRITE(span);
      finder.MoveTo(page_in_span);
      page_address = address & ~(kPageSize - 1);
    }
    if (MESH_UNLIKELY(!finder.Find(address - page_address, &place->slot))) {
      RefuseFree(object, lenient, "free of a pointer into the middle of an object");
      continue;
    }
    place++->span = span;
  }
  return static_cast<uint32_t>(place - places);
}

// Of those at the front that lie in one span, which is meshed. [SG3]
void SizeClassHeap::RequireUntouchedLocked(const SlotPlace* place) {
  MiniHeap* span = place->span;
  for (; place->span == span; place++) {
    void* slot = span->ObjectAt(place->slot);
    if (SlotGuard::IsFreed(slot)) SlotGuard::RequireUntouched(slot, size_class_);
  }
}

// Frees what lies at the places, of which the one without a span is the last. Objects of one span
// often come one after the other: its place in the lists is set right once for all of them. Spans
// that are left without objects go when all bits are cleared, so that a record is there as long as
// places may name it.
// Returns: how many were in use.
uint32_t SizeClassHeap::FreePlacesLocked(const SlotPlace* place, bool lenient) {
  MiniHeap* emptied[2 * kReleasedAtOnce];  // a member, and its leader
  size_t emptied_count = 0;
  uint32_t freed_count = 0;
  while (place->span != nullptr) {
    MiniHeap* span = place->span;
    if (LeavesTraces(span) && !lenient) RequireUntouchedLocked(place);
    uint64_t* words = span->words();
    uint32_t freed = 0;
    do {
      if (MESH_LIKELY(MiniHeap::ClearSlotIn(words, place->slot))) {
        freed++;
      } else {
        RefuseFree(span->ObjectAt(place->slot), lenient, "double free");
      }
    } while ((++place)->span == span);
    if (MESH_UNLIKELY(freed == 0)) continue;
    freed_count += freed;
    MiniHeap* leader = span->NoteFreed(freed);
    if (span != leader && !span->has_objects()) emptied[emptied_count++] = span;
    if (leader->in_use() == 0) {
      emptied[emptied_count++] = leader;
    } else if (leader->place() == SpanPlace::kNowhere) {
      InsertLocked(leader);
    } else if (share_ != nullptr && leader->place() == SpanPlace::kPartial &&
               leader->bin() == kFullBin) {
      PutBackLocked(leader);
    }
  }
  for (size_t i = 0; i < emptied_count; i++) DropEmptiedLocked(emptied[i]);
  return freed_count;
}

void SizeClassHeap::FreePendingLocked() {
  changed_ = true;
  void* objects[kReleasedAtOnce];
  ReleaseLocked(objects, pending_.Take(objects, kReleasedAtOnce), false);
}

void SizeClassHeap::FreePending() {
  while (pending_.size() > 0) {
    MutexLock lock(lock_);
    FreePendingLocked();
  }
}

bool SizeClassHeap::IsInUse(void* object) {
  MutexLock lock(lock_);
  while (pending_.size() > 0) FreePendingLocked();
  SlotPlace place;
  if (LocateLocked({&object, 1}, true, &place) == 0) return false;
  return place.span->occupancy().IsSet(place.slot);
}

void SizeClassHeap::DropEmptiedLocked(MiniHeap* span) {
  // Refused by the kernel, a member stays until the group goes.
  if (!span->is_leader()) {
    ReleaseMemberLocked(span);
  } else if (span->place() == SpanPlace::kPartial || span->place() == SpanPlace::kNowhere) {
    PutBackLocked(span);
  }
}

MESH_NOINLINE void SizeClassHeap::RefuseFree(void* object, bool lenient, const char* why) {
  if (!lenient) FatalAt(why, object);
}

}  // namespace mesh
