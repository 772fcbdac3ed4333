// SizeClassHeap, the half for classes of program heaps: single objects, walks over the lists, and
// how all of it ends.
#include "src/global/size_class_heap.h"
#include "src/secure/slot_guard.h"

namespace mesh {
namespace {

// Bytes of slots that are looked for at a time; and how many slots, at most.
constexpr size_t kReadyBytes = kPageSize;
constexpr uint32_t kReadySlots = ProgramShare::kMostReady / 2;

// Spans that are handed over, or given back, under one hold of the locks: about 100 us.
constexpr uint32_t kSpansAtOnce = 512;

uint32_t ReadySlotsOf(SizeClass size_class) {
  size_t slots = kReadyBytes / kSizeClasses[size_class].size;
  if (slots > kReadySlots) return kReadySlots;
  return slots > 0 ? static_cast<uint32_t>(slots) : 1;
}

}  // namespace

void ProgramClassList::Push(SizeClassHeap* heap) {
  // order: relaxed; pushes are under kProgramHeaps.
  heap->set_next_program_class(front_.load(std::memory_order_relaxed));
  size_.fetch_add(1, std::memory_order_relaxed);
  // order: release; pairs with the acquire in front().
  front_.store(heap, std::memory_order_release);
}

void SizeClassHeap::TakeSettings(SizeClassHeap& from) {
  spans_per_length_ = from.spans_per_length_;
  meter_ = from.meter_;
  MutexLock from_lock(from.lock_);
  MutexLock lock(lock_);
  mapping_wealth_ = from.mapping_wealth_;
  max_span_pages_ = from.max_span_pages_;
}

void SizeClassHeap::Restart(uint64_t seed) {
  MutexLock lock(lock_);
  share_->random.Seed(seed);
}

void* SizeClassHeap::TakeOne(uint32_t generation, bool* looked, bool* is_over) {
  MutexLock lock(lock_);
  ProgramShare& share = *share_;
  // order: relaxed; who ends the heap changes it before he takes the lock.
  *is_over = share.generation->load(std::memory_order_relaxed) != generation;
  if (*is_over) return nullptr;
  *looked = share.ready == 0;
  if (*looked) {
    uint32_t wanted = ReadySlotsOf(size_class_);
    share.ready = RefillLocked(share.heap, &share.attached, share.random, share.order, share.slots,
                               wanted, 2 * wanted);
    if (share.ready == 0) return nullptr;
  }
  return share.slots[--share.ready];
}

bool SizeClassHeap::ReleaseOne(void* object) {
  MutexLock lock(lock_);
  PageEntry entry = PageMap::Find(reinterpret_cast<uintptr_t>(object));
  if (entry.size_class() != kProgramHeapClass) return false;
  SpanId id = PageMap::SpanOf(reinterpret_cast<uintptr_t>(object), entry);
  if (!IsMineLocked(entry, id)) return false;
  if (share_->takes_interior) {
    const MiniHeap* span = MiniHeap::Of(id);
    object = span->ObjectAt(span->SlotAt(reinterpret_cast<uintptr_t>(object) - span->address()));
  }
  changed_ = true;
  ReleaseLocked(&object, 1, false);
  return true;
}

void SizeClassHeap::DropReadyLocked() {
  ProgramShare& share = *share_;
  ReleaseLocked(share.slots, share.ready, false);
  share.ready = 0;
  if (MiniHeap* span = FindAttachedLocked(share.heap, share.attached); span != nullptr) {
    PutBackLocked(span);
  }
  share.attached = kNoSpan;
}

void SizeClassHeap::DropReady() {
  MutexLock lock(lock_);
  changed_ = true;
  DropReadyLocked();
}

bool SizeClassHeap::NextSpanLocked(WalkOf walk, SpanId* cursor, PageCount* pages) {
  if (share_ != nullptr) return NextListedLocked(walk, cursor);
  return arena_->SeekSpan(cursor, size_class_, pages);
}

// Spans that change their list during a walk may be come to twice, or not at all.
bool SizeClassHeap::NextListedLocked(WalkOf walk_of, SpanId* cursor) {
  ProgramShare::Walk& walk = share_->walks[static_cast<size_t>(walk_of)];
  if (*cursor == kNoSpan) walk = {attached_.empty() ? kNoSpan : attached_.front()->id(), 0};
  while (walk.next == kNoSpan) {
    if (walk.bin > kFullBin) {
      *cursor = kNoSpan;
      return false;
    }
    const SpanList& list = partial_[walk.bin++];
    if (!list.empty()) walk.next = list.front()->id();
  }
  *cursor = walk.next;
  const MiniHeap* next = SpanList::Next(MiniHeap::Of(walk.next));
  walk.next = next == nullptr ? kNoSpan : next->id();
  return true;
}

void SizeClassHeap::StepOverLocked(const MiniHeap* leader) {
  for (ProgramShare::Walk& walk : share_->walks) {
    if (walk.next != leader->id()) continue;
    const MiniHeap* next = SpanList::Next(leader);
    walk.next = next == nullptr ? kNoSpan : next->id();
  }
}

MiniHeap* SizeClassHeap::FirstListedLocked() {
  for (SpanList& list : partial_) {
    if (!list.empty()) return list.front();
  }
  return attached_.front();
}

uint64_t SizeClassHeap::ListSpans(std::span<SpanId> out) {
  MutexLock lock(lock_);
  uint64_t listed = 0;
  auto add = [&](const SpanList& list) {
    for (MiniHeap* leader = list.front(); leader != nullptr; leader = SpanList::Next(leader)) {
      leader->ForEachMember([&](MiniHeap* span) {
        if (listed < out.size()) out[listed] = span->id();
        listed++;
      });
    }
  };
  for (const SpanList& list : partial_) add(list);
  add(attached_);
  return listed;
}

Bitmap SizeClassHeap::ObjectsOf(SpanId id) {
  MutexLock lock(lock_);
  PageEntry entry = PageMap::Find(PageMap::AddressOf(id));
  if (!IsMineLocked(entry, id) || entry.page_in_span() != 0) return Bitmap();
  const MiniHeap* span = MiniHeap::Of(id);
  Bitmap objects = span->occupancy();
  for (uint32_t i = 0; i < share_->ready; i++) {
    size_t offset = reinterpret_cast<uintptr_t>(share_->slots[i]) - span->address();
    if (offset < span->length()) objects.Clear(span->SlotAt(offset));
  }
  return objects;
}

// Moves a group that is in a list. Entries come last: with them go the frees of other threads,
// which wait for one of the two locks.
void SizeClassHeap::HandOverGroupLocked(MiniHeap* leader, SizeClassHeap& to) {
  RemoveFromListLocked(leader);
  in_use_ -= leader->in_use();
  to.in_use_ += leader->in_use();
  leader->ForEachMember([&](MiniHeap* span) NO_THREAD_SAFETY_ANALYSIS {
    NoteEndedLocked(span->units());
    to.NoteStartedLocked(span);
    if (span != leader) {
      NoteLeftLocked(span);
      to.members_++;
      to.member_pages_ += span->pages();
    }
    if (span->is_backed()) {
      backed_pages_ -= span->pages();
      to.backed_pages_ += span->pages();
    }
    span->SetOwner(kNobody);
    if (secure_policy.has_states > 0) {
      span->occupancy().ForEachSet(
          [&](SlotIndex slot) { SlotGuard::HandWhole(span->ObjectAt(slot)); });
    }
    EmptyFreeSlots(span);
    PageMap::SetSpan(span->id(), span->pages(), size_class_);
  });
  to.changed_ = true;
  to.InsertLocked(leader);
}

void SizeClassHeap::HandOver(SizeClassHeap& to) {
  DropReady();
  for (bool has_more = true; has_more;) {
    // In the order of fork: the main heap's first.
    MutexLock to_lock(to.lock_);
    MutexLock lock(lock_);
    MiniHeap* leader = nullptr;
    for (uint32_t i = 0; i < kSpansAtOnce; i++) {
      leader = FirstListedLocked();
      if (leader == nullptr) break;
      HandOverGroupLocked(leader, to);
    }
    has_more = leader != nullptr;
    if (!has_more) DropReserveLocked();
  }
}

// Returns: spans given back. Neighbours go to the arena as one run.
uint32_t SizeClassHeap::DestroySomeLocked(uint32_t most) {
  uint64_t before = spans_;
  SpanId run = kNoSpan;
  PageCount run_pages = 0;
  auto free_run = [&] {
    if (run_pages > 0) arena_->FreeSpan(run, run_pages, true);
    run_pages = 0;
  };
  for (uint32_t i = 0; i < most; i++) {
    MiniHeap* leader = FirstListedLocked();
    if (leader == nullptr) break;
    RemoveFromListLocked(leader);
    in_use_ -= leader->in_use();
    leader->NoteFreed(leader->in_use());
    if (!leader->is_alone() || leader->is_backed()) {
      leader->ForEachMember([](MiniHeap* span) { span->ClearAllSlots(); });
      ReleaseGroupLocked(leader);
      continue;
    }
    const SpanId id = leader->id();
    const PageCount pages = leader->pages();
    leader->SetOwner(kNobody);
    GiveWordsLocked(leader->words_outside(), leader->units());
    NoteEndedLocked(leader->units());
    // Segments whose ids follow each other need not be neighbours.
    if (id + pages == run && PageMap::PageOf(run) != 0) {
      run = id;
    } else if (run + run_pages != id || PageMap::PageOf(id) == 0) {
      free_run();
      run = id;
    }
    run_pages += pages;
  }
  free_run();
  return static_cast<uint32_t>(before - spans_);
}

void SizeClassHeap::DestroyAll() {
  for (bool has_more = true; has_more;) {
    MutexLock lock(lock_);
    share_->ready = 0;
    share_->attached = kNoSpan;
    changed_ = true;
    // What the kernel refuses stays, as empty spans.
    has_more = DestroySomeLocked(kSpansAtOnce) > 0;
    if (!has_more) DropReserveLocked();
  }
}

}  // namespace mesh
