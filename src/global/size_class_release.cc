// SizeClassHeap, the half for frees: from objects to bits, lists and spans that go.
#include "src/base/check.h"
#include "src/global/size_class_heap.h"

namespace mesh {
namespace {

// A unit of a span; at first none: no object is at an offset from its address.
struct UnitPlace {
  uintptr_t address = UINTPTR_MAX / 2;
  MiniHeap* span = nullptr;
  SlotIndex first_slot = 0;
};

// Finds units by the page entries of addresses of which most lie in one window.
class Window {
 public:
  // The unit of a span of the class that `object`, any pointer, lies in. `entry_class`: what
  // entries of its spans say. False: in none. The caller holds the class's lock. Fetches the span's
  // record into the cache.
  MESH_ALWAYS_INLINE bool FindUnit(void* object, SizeClass size_class, SizeClass entry_class,
                                   UnitPlace* unit) {
    const uintptr_t address = reinterpret_cast<uintptr_t>(object);
    if (MESH_UNLIKELY(address >> kWindowShift != number_)) {
      if (!PageMap::Owns(address)) return false;
      const Segment& segment = PageMap::SegmentAt(address);
      number_ = address >> kWindowShift;
      entries_ = segment.entries;
      records_ = segment.records;
    }
    const PageIndex page = static_cast<PageIndex>(address >> kPageShift) & (kWindowPages - 1);
    // order: relaxed; entries of a class change under its lock.
    const PageEntry entry = entries_[page].load(std::memory_order_relaxed);
    if (MESH_UNLIKELY(entry.size_class() != entry_class)) return false;
    unit->span = reinterpret_cast<MiniHeap*>(records_ + (page - entry.page_in_span()));
    MESH_PREFETCH_TO_WRITE(unit->span);
    const PagePlace before = PlaceOfPage(kSizeClasses[size_class], entry.page_in_span());
    unit->address = (address & ~(kPageSize - 1)) - before.bytes;
    unit->first_slot = before.slots;
    return true;
  }

 private:
  uintptr_t number_ = UINTPTR_MAX;
  const std::atomic<PageEntry>* entries_ = nullptr;
  SpanRecord* records_ = nullptr;
};

}  // namespace

bool SizeClassHeap::ReleaseSpanLocked(MiniHeap* span) {
  bool is_backed = span->is_backed();
  PageCount pages = span->pages();
  uint32_t units = span->units();
  // Who still has its id must not take it for this heap's, as soon as its pages are another's.
  span->set_owner(kNobody);
  if (!releaser_->Release(span)) {
    span->set_owner(RestingOwner());
    return false;
  }
  if (is_backed) backed_pages_ -= pages;
  NoteEndedLocked(units);
  return true;
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
  leader->bin_ = 0;
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
  const SizeClassInfo& info = kSizeClasses[size_class_];
  const uint64_t size_reciprocal = info.size_reciprocal;
  const size_t unit_bytes = size_t{info.slots} * info.size;
  SlotPlace* place = places;
  Window window;
  UnitPlace unit;  // of the last object
  for (void* object : objects) {
    size_t offset = reinterpret_cast<uintptr_t>(object) - unit.address;
    if (offset >= unit_bytes) {
      if (MESH_UNLIKELY(!window.FindUnit(object, size_class_, entry_class_, &unit))) {
        RefuseFree(object, lenient, "free of a pointer that is not in use");
        continue;
      }
      offset = reinterpret_cast<uintptr_t>(object) - unit.address;
    }
    SlotIndex slot = 0;
    if (MESH_UNLIKELY(!FindSlot(size_reciprocal, offset, &slot) || offset >= unit_bytes)) {
      RefuseFree(object, lenient, "free of a pointer into the middle of an object");
      continue;
    }
    *place++ = {unit.span, unit.first_slot + slot};
  }
  return static_cast<uint32_t>(place - places);
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
    uint32_t freed = 0;
    do {
      if (MESH_LIKELY(span->ClearSlot(place->slot))) {
        freed++;
      } else {
        RefuseFree(span->ObjectAt(place->slot), lenient, "double free");
      }
    } while ((++place)->span == span);
    if (MESH_UNLIKELY(freed == 0)) continue;
    freed_count += freed;
    MiniHeap* leader = span->NoteFreed(freed);
    if (span != leader && span->occupancy_.IsEmpty()) emptied[emptied_count++] = span;
    if (leader->in_use_ == 0) {
      emptied[emptied_count++] = leader;
    } else if (leader->place_ == SpanPlace::kNowhere) {
      InsertLocked(leader);
    } else if (share_ != nullptr && leader->place_ == SpanPlace::kPartial &&
               leader->bin_ == kFullBin) {
      PutBackLocked(leader);
    }
  }
  for (size_t i = 0; i < emptied_count; i++) DropEmptiedLocked(emptied[i]);
  return freed_count;
}

bool SizeClassHeap::IsInUse(void* object) {
  MutexLock lock(lock_);
  SlotPlace place;
  if (LocateLocked({&object, 1}, true, &place) == 0) return false;
  return place.span->occupancy().IsSet(place.slot);
}

void SizeClassHeap::DropEmptiedLocked(MiniHeap* span) {
  // Refused by the kernel, a member stays until the group goes.
  if (!span->is_leader()) {
    ReleaseMemberLocked(span);
  } else if (span->place_ == SpanPlace::kPartial || span->place_ == SpanPlace::kNowhere) {
    PutBackLocked(span);
  }
}

MESH_NOINLINE void SizeClassHeap::RefuseFree(void* object, bool lenient, const char* why) {
  if (!lenient) FatalAt(why, object);
}

}  // namespace mesh
