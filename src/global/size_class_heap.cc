// See size_class_heap.h.
#include "src/global/size_class_heap.h"

#include <algorithm>
#include <bit>

#include "src/base/check.h"
#include "src/os/memory.h"
#include "src/secure/slot_guard.h"

namespace mesh {
namespace {

// Pages in spans of few slots that a class has before it makes longer ones, by what mappings
// allow: short spans mesh best, long ones save more for each mapping. (A tenth of twelve sizes
// kept, physical over live bytes, at 1,536, 3,072 and 4,096: 256 MB 1.51, 1.47, 1.46; 512
// MB 1.66, 1.62, 1.60; 1 GB 1.97, 2.01, 2.01; 2 GB 2.88, 2.94, 3.01.)
constexpr uint32_t kFewSlots = 32;
constexpr uint64_t kPagesOfFewSlots = 3072;
constexpr uint32_t kSomeSlots = 64;
constexpr uint64_t kPagesOfSomeSlots = 6144;

// Pages that a span between guards has, if it may: each guard costs a system call, and a page of
// the caches' reach.
constexpr PageCount kLeastGuardedPages = 4;
// Spans that a class has before it takes pages for several at once; and how many pages: a share
// of those it has, since nobody else can use them, up to what makes long mappings.
constexpr uint64_t kSpansBeforeReserve = 64;
constexpr uint64_t kReserveShare = 8;
constexpr PageCount kMaxReservePages = 64;
// Spans that one refill moves to their bins, which no free has done.
constexpr uint32_t kMostMoved = 16;
// Spans that one refill looks at for one that its thread has drawn from.
constexpr uint32_t kMostLooked = 16;
// With fewer free slots than this part of those in use, it gets a fresh span before one of
// another thread's: so much memory may it cost that threads have spans of their own.
constexpr uint64_t kDenseShare = 6;

// Slots that fill whole cache lines of 64 bytes; sizes are multiples of 16.
constexpr SlotIndex SlotsOfLines(uint32_t size) {
  return SlotIndex{4} >> std::min(std::countr_zero(size) - 4, 2);
}
static_assert(SlotsOfLines(48) == 4 && SlotsOfLines(32) == 2 && SlotsOfLines(1152) == 1);

// Brings a random choice of `count` of the values to the front, in random order. Four draws of each
// number of the generator: the bias is below kBits / 2^16, half a percent.
template <typename Value>
void Shuffle(Value* values, uint32_t all, uint32_t count, Random& random) {
  uint64_t number = 0;
  for (uint32_t i = 0; i < count; i++, number >>= 16) {
    if (i % 4 == 0) number = random.Next();
    const uint32_t drawn = number & 0xffff;
    std::swap(values[i], values[i + (drawn * (all - i) >> 16)]);
  }
}

}  // namespace

void SizeClassHeap::Init(SizeClass size_class, Arena* arena, Backing* backing,
                         SpanReleaser* releaser, ProgramShare* share) {
  size_class_ = size_class;
  entry_class_ = share == nullptr ? size_class : kProgramHeapClass;
  share_ = share;
  arena_ = arena;
  backing_ = backing;
  releaser_ = releaser;
}

void SizeClassHeap::set_mapping_wealth(uint32_t wealth) {
  MutexLock lock(lock_);
  mapping_wealth_ = wealth;
}

void SizeClassHeap::AllowSpanPages(PageCount pages) {
  MutexLock lock(lock_);
  max_span_pages_ = pages;
}

void SizeClassHeap::RemoveFromListLocked(MiniHeap* leader) {
  switch (leader->place()) {
    case SpanPlace::kPartial:
      if (share_ != nullptr) StepOverLocked(leader);
      partial_[leader->bin()].Remove(leader);
      break;
    case SpanPlace::kAttached:
      if (share_ != nullptr) StepOverLocked(leader);
      attached_.Remove(leader);
      break;
    case SpanPlace::kNowhere:
    case SpanPlace::kWithdrawn:
      break;
  }
  leader->SetPlace(SpanPlace::kNowhere);
}

// Puts a leader that is in no list where its occupancy belongs; an empty one goes to the arena.
void SizeClassHeap::InsertLocked(MiniHeap* leader) {
  MESH_DCHECK(leader->is_leader() && leader->place() == SpanPlace::kNowhere);
  leader->SetOwner(RestingOwner());
  if (leader->in_use() == 0) return ReleaseGroupLocked(leader);
  if (leader->is_full() && share_ == nullptr) return;
  leader->SetPlace(SpanPlace::kPartial);
  leader->SetBin(leader->is_full() ? kFullBin : BinOf(leader));
  partial_[leader->bin()].PushFront(leader);
}

bool SizeClassHeap::HasEnoughLocked(int length) const {
  const SizeClassInfo& info = kSizeClasses[size_class_];
  uint64_t spans = spans_of_length_[length];
  uint32_t units = 1u << length;
  if (spans_per_length_ != kBySlots) return spans >= spans_per_length_;
  uint32_t slots = info.slots * units;
  if (slots >= kSomeSlots) return false;
  uint64_t enough = slots < kFewSlots ? kPagesOfFewSlots : kPagesOfSomeSlots;
  return spans * units * info.unit_pages >= enough * mapping_wealth_;
}

uint32_t SizeClassHeap::NextUnitsLocked() const {
  const SizeClassInfo& info = kSizeClasses[size_class_];
  uint32_t units = 1;
  for (int length = 0; units < info.max_units; length++) {
    const PageCount pages = 2 * units * info.unit_pages;
    const bool is_short = arena_->guards_spans() && pages <= kLeastGuardedPages;
    if (pages > max_span_pages_ || !(is_short || HasEnoughLocked(length))) break;
    units *= 2;
  }
  return units;
}

void SizeClassHeap::NoteStartedLocked(const MiniHeap* span) {
  spans_started_++;
  if (++spans_ > spans_peak_) spans_peak_ = spans_;
  spans_of_length_[span->length_shift()]++;
  pages_ += span->pages();
}

void SizeClassHeap::NoteEndedLocked(uint32_t units) {
  spans_--;
  spans_of_length_[std::countr_zero(units)]--;
  pages_ -= uint64_t{units} * kSizeClasses[size_class_].unit_pages;
}

void SizeClassHeap::AttachToLocked(MiniHeap* leader, uint16_t owner, bool shared) {
  leader->SetPlace(SpanPlace::kAttached);
  leader->SetOwner(owner);
  if (!shared) leader->SetHome(owner);
  attached_.PushFront(leader);
}

SpanId SizeClassHeap::NewSpanLocked(uint32_t units, bool* dirty) {
  const SizeClassInfo& info = kSizeClasses[size_class_];
  PageCount pages = info.unit_pages * units;
  if (!info.meshable || spans_ < kSpansBeforeReserve || arena_->guards_spans()) {
    return arena_->AllocateSpan(size_class_, units, entry_class_, dirty);
  }
  if (reserve_pages_ < pages) {
    DropReserveLocked();  // The arena has use for a rest that is too short.
    uint64_t share = pages_ / kReserveShare;
    PageCount reserved =
        share < kMaxReservePages ? static_cast<PageCount>(share) : kMaxReservePages;
    if (reserved < pages) reserved = pages;
    reserve_ = arena_->ReserveRun(pages, &reserved, &reserve_dirty_);
    if (reserve_ == kNoSpan) return arena_->AllocateSpan(size_class_, units, entry_class_, dirty);
    reserve_pages_ = reserved;
  }
  SpanId id = reserve_;
  *dirty = reserve_dirty_;
  Arena::StartSpan(id, pages, entry_class_);
  reserve_ += pages;
  reserve_pages_ -= pages;
  return id;
}

void SizeClassHeap::DropReserveLocked() {
  if (reserve_pages_ > 0) arena_->FreeSpan(reserve_, reserve_pages_, reserve_dirty_);
  reserve_pages_ = 0;
}

// Looks for a span in the fullest bins that `owner` has drawn from before, or any for kNobody: then
// objects of two threads do not come to lie in one cache line. Null: there is none among the first;
// *fullest is another's. Spans that frees have left in too full a bin are moved to where they
// belong, a few at a time.
MiniHeap* SizeClassHeap::FindPartialLocked(uint16_t owner, MiniHeap** fullest) {
  uint32_t moves = kMostMoved;
  uint32_t looks = kMostLooked;
  for (uint32_t bin = kBins; bin > 0 && looks > 0; bin--) {
    MiniHeap* next = nullptr;
    for (MiniHeap* leader = partial_[bin - 1].front(); leader != nullptr; leader = next) {
      next = SpanList::Next(leader);
      if (BinOf(leader) != bin - 1 && moves > 0) {
        moves--;
        PutBackLocked(leader);
        continue;
      }
      if (owner == kNobody || leader->IsHomeOf(owner)) return leader;
      if (*fullest == nullptr) *fullest = leader;
      if (--looks == 0) break;
    }
  }
  return nullptr;
}

uint64_t SizeClassHeap::SlotsLocked() const {
  const SizeClassInfo& info = kSizeClasses[size_class_];
  return (pages_ - member_pages_) / info.unit_pages * info.slots;
}

// So few slots are free that each thread may have its own.
bool SizeClassHeap::IsDenseLocked() const {
  return (SlotsLocked() - in_use_) * kDenseShare <= in_use_;
}

MiniHeap* SizeClassHeap::AttachLocked(uint16_t owner, bool shared) {
  MiniHeap* others = nullptr;
  MiniHeap* leader = FindPartialLocked(shared ? kNobody : owner, &others);
  if (leader == nullptr && (others == nullptr || IsDenseLocked())) leader = StartSpanLocked();
  if (leader == nullptr) leader = others;
  if (leader == nullptr) return nullptr;
  RemoveFromListLocked(leader);
  AttachToLocked(leader, owner, shared);
  return leader;
}

// A fresh span, in no list; null when out of memory.
MiniHeap* SizeClassHeap::StartSpanLocked() {
  uint32_t units = NextUnitsLocked();
  const uint32_t words_outside = MiniHeap::WordsOutside(size_class_, units);
  uint64_t* words = nullptr;
  if (words_outside > 0) {
    words = words_.Take(words_outside);
    if (words == nullptr) return nullptr;
  }
  bool dirty = false;
  SpanId id = NewSpanLocked(units, &dirty);
  if (id == kNoSpan) {
    GiveWordsLocked(words, units);
    return nullptr;
  }
  MiniHeap* fresh = MiniHeap::Start(id, size_class_, units, words);
  if (secure_policy.has_canaries) SlotGuard::Start(fresh->ObjectAt(0), size_class_, units, dirty);
  fresh->SetOwner(RestingOwner());
  NoteStartedLocked(fresh);
  return fresh;
}

void SizeClassHeap::EmptyFreeSlots(const MiniHeap* span) {
  if (!secure_policy.clears || span->is_backed()) return;
  const Bitmap free = Bitmap::FirstBits(span->slots()).Without(span->occupancy());
  free.ForEachSet(
      [&](SlotIndex slot) { SlotGuard::Empty(span->ObjectAt(slot), span->size_class()); });
}

// The span that `owner` believes to draw from, or null when the compactor has pulled it away. Then
// it has no owner, or another one; or it is gone, and its pages are anything by now, even a span of
// the same owner in another class. Only the entry tells, as the record belongs to that class's
// lock.
MiniHeap* SizeClassHeap::FindAttachedLocked(uint16_t owner, SpanId attached) {
  if (attached == kNoSpan) return nullptr;
  PageEntry entry = PageMap::Find(PageMap::AddressOf(attached));
  if (!IsMineLocked(entry, attached) || entry.page_in_span() != 0) return nullptr;
  MiniHeap* span = MiniHeap::Of(attached);
  return span->owner() == owner && span->place() == SpanPlace::kAttached ? span : nullptr;
}

SlotIndex SizeClassHeap::FirstSlot(const MiniHeap* span, SlotOrder order, bool shared,
                                   Random& random) {
  if (order == SlotOrder::kAscending) return 0;
  const SlotIndex slot = random.Below(span->slots());
  return shared ? slot & ~(SlotsOfLines(span->info().size) - 1) : slot;
}

uint32_t SizeClassHeap::TakeSlotsLocked(MiniHeap* span, SlotOrder order, bool shared,
                                        Random& random, void** out, uint32_t wanted,
                                        uint32_t room) {
  const SizeClassInfo info = kSizeClasses[size_class_];
  const Bitmap free = Bitmap::FirstBits(span->slots()).Without(span->GroupOccupancy());
  const uint32_t free_count = span->slots() - span->in_use();
  const uint32_t count = free_count <= room ? free_count : wanted;
  auto* base = reinterpret_cast<char*>(span->address());
  uint32_t left = count;
  // The vector hands out what was put into it last.
  auto take = [&](SlotIndex slot) { out[--left] = base + OffsetOf(info, slot); };
  const bool is_one_unit = span->units() == 1;
  auto take_run = [&](SlotIndex first, uint32_t length) {
    if (!is_one_unit) {
      for (uint32_t i = 0; i < length; i++) take(first + i);
      return;
    }
    char* slot = base + size_t{first} * info.size;
    for (uint32_t i = 0; i < length; i++, slot += info.size) out[--left] = slot;
  };
  Bitmap taken;
  if (order == SlotOrder::kShuffled) {
    uint32_t listed = 0;
    SlotIndex slots[Bitmap::kBits];
    free.ForEachSet([&](SlotIndex slot) { slots[listed++] = slot; });
    Shuffle(slots, listed, count, random);
    for (SlotIndex slot : std::span(slots, count)) {
      taken.Set(slot);
      take(slot);
    }
  } else {
    taken = free.ForEachRunFrom(FirstSlot(span, order, shared, random), count, take_run);
    if (order == SlotOrder::kShuffledRun) Shuffle(out, count, count, random);
  }
  if (LeavesTraces(span)) {
    for (uint32_t i = 0; i < count; i++) SlotGuard::Empty(out[i], size_class_);
  }
  span->TakeSlots(taken, count);
  if (!info.meshable) span->NoteUsed(taken);
  return count;
}

uint32_t SizeClassHeap::Refill(uint16_t owner, SpanId* attached, Random& random, SlotOrder order,
                               void** out, uint32_t wanted, uint32_t room, bool waits) {
  if (waits) {
    lock_.Lock();
  } else if (!lock_.LockUnlessLong()) {
    return kBusy;
  }
  if (pending_.size() > 0) FreePendingLocked();
  const uint32_t taken = RefillLocked(owner, attached, random, order, out, wanted, room);
  lock_.Unlock();
  return taken;
}

uint32_t SizeClassHeap::RefillLocked(uint16_t owner, SpanId* attached, Random& random,
                                     SlotOrder order, void** out, uint32_t wanted, uint32_t room) {
  changed_ = true;
  SpanId id = attached == nullptr ? kNoSpan : *attached;
  MiniHeap* span = FindAttachedLocked(owner, id);
  uint32_t taken = 0;
  while (taken < wanted) {
    if (span == nullptr) span = AttachLocked(owner, attached == nullptr);
    if (span == nullptr) break;
    taken += TakeSlotsLocked(span, order, attached == nullptr, random, out + taken, wanted - taken,
                             room - taken);
    if (span->is_full()) {
      PutBackLocked(span);
      span = nullptr;
    }
  }
  if (attached != nullptr) {
    *attached = span == nullptr ? kNoSpan : span->id();
  } else if (span != nullptr) {
    PutBackLocked(span);
  }
  in_use_ += taken;
  if (!kSizeClasses[size_class_].meshable) NoteUsedLocked();
  return taken;
}

void SizeClassHeap::Detach(uint16_t owner, SpanId attached) {
  if (attached == kNoSpan) return;
  MutexLock lock(lock_);
  if (MiniHeap* span = FindAttachedLocked(owner, attached); span != nullptr) PutBackLocked(span);
}

SizeClassStatistics SizeClassHeap::statistics() {
  FreePending();
  MutexLock lock(lock_);
  SizeClassStatistics result;
  result.attached = attached_.size();
  for (uint32_t bin = 0; bin < kBins; bin++) result.partial += partial_[bin].size();
  result.spans = spans_;
  result.meshed = members_;
  result.pages = pages_;
  result.meshed_pages = member_pages_;
  result.slots = SlotsLocked();
  result.in_use = in_use_ - (share_ != nullptr ? share_->ready : 0);
  result.spans_started = spans_started_;
  result.spans_peak = spans_peak_;
  return result;
}

void SizeClassHeap::CheckInvariants() {
  MutexLock lock(lock_);
  for (uint32_t bin = 0; bin < kBins; bin++) {
    for (MiniHeap* span = partial_[bin].front(); span != nullptr; span = SpanList::Next(span)) {
      span->CheckInvariants();
      MESH_CHECK(span->place() == SpanPlace::kPartial && span->bin() == bin);
      MESH_CHECK(BinOf(span) <= bin && !span->is_full());
    }
  }
  for (MiniHeap* span = partial_[kFullBin].front(); span != nullptr; span = SpanList::Next(span)) {
    span->CheckInvariants();
    MESH_CHECK(share_ != nullptr && span->is_full());
  }
  for (MiniHeap* span = attached_.front(); span != nullptr; span = SpanList::Next(span)) {
    span->CheckInvariants();
    MESH_CHECK(span->place() == SpanPlace::kAttached);
  }
}

}  // namespace mesh
