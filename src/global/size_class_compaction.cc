// SizeClassHeap, the half for compaction and fork: surveys, batches, folding, splitting off.
#include <algorithm>

#include "src/global/size_class_batch.h"

namespace mesh {
namespace {

// Spans of each bin that demand() looks at, and the least share of slots in use that it believes of
// those that may be meshed.
constexpr uint32_t kMostSampled = 32;
constexpr double kLeastLive = 1.0 / 32;
// How many spans a group counts for in a survey, as its members lie anywhere.
constexpr uint32_t kGroupWeight = 16;
// Spans that one FoldBatch() looks at, for a quarter of a millisecond of pagemap reads, and the
// most that it folds.
constexpr uint32_t kSpansLookedAt = 256;
constexpr uint32_t kSpansFolded = 64;

}  // namespace

// What one FoldBatch() does.
struct SizeClassHeap::FoldPlan {
  Mesher& mesher;
  const os::PageTable& table;
  MiniHeap* spans[kSpansFolded] = {};
  uint32_t count = 0;
  uint32_t copied_pages = 0;
  uint32_t folded_pages = 0;
};

// How many spans in a bin have room to be meshed, by some of them: where frees have come since the
// last refill, they are emptier than the bin says [SH1].
uint64_t SizeClassHeap::CountSparseLocked(uint32_t bin) {
  uint32_t looked = 0;
  uint32_t sparse = 0;
  for (MiniHeap* span = partial_[bin].front(); span != nullptr && looked < kMostSampled;
       span = SpanList::Next(span), looked++) {
    if (IsCandidate(span)) sparse++;
  }
  return looked == 0 ? 0 : uint64_t{partial_[bin].size()} * sparse / looked;
}

MeshDemand SizeClassHeap::demand() {
  MutexLock lock(lock_);
  const SizeClassInfo& info = kSizeClasses[size_class_];
  MeshDemand result;
  result.unit_pages = info.unit_pages;
  result.unit_slots = info.slots;
  uint64_t sparse = 0;
  uint64_t others = spans_ - members_;
  // In eighths of a span. What is in no list is full.
  uint64_t attached = attached_.size();
  uint64_t others_in_use = 8 * (others - attached) + 4 * attached;
  for (uint32_t bin = 0; bin < kBins; bin++) sparse += CountSparseLocked(bin);
  others -= sparse;
  others_in_use -= 8 * sparse;
  if (sparse == 0) return result;
  uint64_t leader_pages = pages_ - member_pages_;
  double in_use = static_cast<double>(in_use_) / static_cast<double>(SlotsLocked()) *
                  static_cast<double>(sparse + others);
  result.live = (in_use - static_cast<double>(others_in_use) / 8) / static_cast<double>(sparse);
  if (result.live < kLeastLive) {  // so not all of the others are full
    sparse += others;
    others = 0;
    result.live = in_use / static_cast<double>(sparse);
  }
  result.live = std::clamp(result.live, kLeastLive, 7.0 / 8);
  result.pages = leader_pages * sparse / (sparse + others);
  uint64_t plain_pages = pages_ - backed_pages_;
  result.plain_pages = plain_pages < result.pages ? plain_pages : result.pages;
  if (leader_pages > plain_pages) {
    result.views =
        static_cast<double>(backed_pages_) / static_cast<double>(leader_pages - plain_pages);
  }
  for (uint32_t i = 0; i < kSpanLengths; i++) {
    uint64_t pages = (spans_of_length_[i] << i) * info.unit_pages;
    result.lengths[i] = static_cast<double>(pages) / static_cast<double>(pages_);
  }
  return result;
}

uint32_t SizeClassHeap::Survey(SpanId* cursor, bool each, std::span<Candidate> out) {
  PageCount pages = kSurveyedPages;
  uint32_t count = 0;
  uint32_t looked = 0;
  MutexLock lock(lock_);
  while (looked < kSurveyedSpans && count < out.size()) {
    if (!NextSpanLocked(WalkOf::kSurvey, cursor, &pages)) break;
    MiniHeap* span = MiniHeap::Of(*cursor);
    looked += span->is_leader() ? 1 : 2;
    if (span->place() == SpanPlace::kAttached && span->in_use() == 0) {
      PutBackLocked(span);
      continue;
    }
    if (each && IsCandidate(span->leader()) && span->has_objects()) {
      const Bitmap own = span->occupancy();
      out[count++] = {*cursor, span->backing(), static_cast<uint16_t>(own.Count()),
                      static_cast<uint8_t>(span->units()), own};
    }
    if (each || !IsCandidate(span)) continue;
    if (!span->is_alone()) looked += kGroupWeight;
    out[count++] = {*cursor, span->backing(), static_cast<uint16_t>(span->in_use()),
                    static_cast<uint8_t>(span->units()), span->GroupOccupancy()};
  }
  return count;
}

std::span<MiniHeap*> SizeClassHeap::GatherLocked(std::span<const SpanId> spans, uint32_t units,
                                                 uint32_t most_members, Gathered* gathered) {
  MESH_DCHECK(spans.size() <= gathered->room());
  MiniHeap** leaders = gathered->leaders_ + gathered->count_;
  size_t count = 0;
  uint32_t members = 0;
  Bitmap bits;
  for (SpanId id : spans) {
    MiniHeap* leader = FindLeaderLocked(id, units);
    if (leader == nullptr || !IsCandidate(leader)) continue;  // or it is withdrawn already
    Bitmap own = leader->GroupOccupancy();
    if (own.Overlaps(bits)) continue;  // also of a leader that is among them already
    members += leader->member_count();
    if (members > most_members) break;
    bits |= own;
    WithdrawLocked(leader);
    leaders[count++] = leader;
  }
  gathered->count_ += count;
  return {leaders, count};
}

// The leader of the span that was here, of `units` units, when a plan was made. Since then it may
// have gone, and another one come to be there, or its group have no room any more: then null. What
// is withdrawn is so for this batch.
MiniHeap* SizeClassHeap::FindLeaderLocked(SpanId id, uint32_t units) {
  PageEntry entry = PageMap::Find(PageMap::AddressOf(id));
  if (!IsMineLocked(entry, id) || entry.page_in_span() != 0) return nullptr;
  MiniHeap* leader = MiniHeap::Of(id)->leader();
  const bool is_there = leader->place() == SpanPlace::kWithdrawn || IsCandidate(leader);
  return is_there && leader->units() == units ? leader : nullptr;
}

GatheredSpan SizeClassHeap::GatherOneLocked(SpanId id, SpanId to, uint32_t units,
                                            uint32_t most_members, Gathered* gathered) {
  MESH_DCHECK(gathered->room() >= 2);
  MiniHeap* leader = FindLeaderLocked(id, units);
  if (leader == nullptr || !MiniHeap::Of(id)->has_objects()) return {};
  GatheredSpan result{MiniHeap::Of(id), nullptr, 0};
  if (to != kNoSpan) {
    MiniHeap* target = FindLeaderLocked(to, units);
    if (target == nullptr || target == leader || !target->is_backed() ||
        !backing_->CanShow(target->backing()) || target->member_count() >= most_members ||
        target->GroupOccupancy().Overlaps(result.span->occupancy())) {
      return {};
    }
    result.target = target;
  }
  for (MiniHeap* withdraw : {leader, result.target}) {
    if (withdraw == nullptr || withdraw->place() == SpanPlace::kWithdrawn) continue;
    WithdrawLocked(withdraw);
    gathered->leaders_[gathered->count_++] = withdraw;
    result.withdrawn++;
  }
  return result;
}

void SizeClassHeap::PutBackLocked(Gathered* gathered, size_t count) {
  for (size_t i = 0; i < count; i++) RestoreLocked(gathered->leaders_[--gathered->count_]);
}

void SizeClassHeap::WithdrawLocked(MiniHeap* leader) {
  RemoveFromListLocked(leader);
  leader->SetPlace(SpanPlace::kWithdrawn);
  leader->SetOwner(RestingOwner());
}

void SizeClassHeap::RestoreLocked(MiniHeap* leader) {
  if (leader->place() != SpanPlace::kWithdrawn) return;
  leader->SetPlace(SpanPlace::kNowhere);
  InsertLocked(leader);
}

MeshResult SizeClassHeap::RunBatchLocked(Mesher& mesher) {
  MeshResult result = mesher.Run();
  // Both may be negative: unsigned arithmetic wraps to what is meant.
  members_ += static_cast<uint64_t>(int64_t{result.members_gained});
  member_pages_ += static_cast<uint64_t>(int64_t{result.pages_gained});
  backed_pages_ += result.pages_backed;
  mesher.ForEachTouched([&](MiniHeap* span) NO_THREAD_SAFETY_ANALYSIS { RestoreLocked(span); });
  return result;
}

bool SizeClassHeap::AddToFoldLocked(MiniHeap* span, FoldPlan* plan) {
  if (!span->is_backed()) return true;
  MiniHeap* leader = span->leader();
  if (leader->place() == SpanPlace::kWithdrawn) return true;
  bool can_move = !backing_->CanShow(span->backing());
  bool is_wasteful = can_move && backing_->IsWasteful(span->backing());
  // New objects come to be at the addresses of an attached span: it would be copied again at once.
  if (leader->place() == SpanPlace::kAttached && !is_wasteful) return true;
  os::Result<size_t> copied = plan->table.CopiedPages(span->address(), span->length());
  if (!copied.ok() || (copied.value == 0 && !is_wasteful)) return true;
  if (backing_->CanFold(span->backing())) {
    if (plan->count == kSpansFolded) return false;
    plan->spans[plan->count++] = span;
    plan->folded_pages += span->pages();
  } else if (can_move) {
    // A fork's child may see the old pages: the group moves to new ones.
    if (!plan->mesher.Add({&leader, 1})) return plan->mesher.is_empty();
    WithdrawLocked(leader);
    plan->folded_pages += leader->member_count() * span->pages();
  } else {
    return true;
  }
  plan->copied_pages += static_cast<uint32_t>(copied.value);
  return true;
}

uint32_t SizeClassHeap::FoldBatch(Mesher& mesher, const os::PageTable& table, SpanId* cursor,
                                  uint32_t most_pages) {
  FoldPlan plan{mesher, table};
  PageCount pages = kSurveyedPages;
  BatchLock lock(*this);
  // Spans of this class do not come or go meanwhile; others are recognised by their entries.
  for (uint32_t looked = 0; looked < kSpansLookedAt && plan.count < kSpansFolded; looked++) {
    if (plan.folded_pages >= most_pages) break;
    SpanId before = *cursor;
    if (!NextSpanLocked(WalkOf::kFold, cursor, &pages)) break;
    bool fits = true;
    auto add = [&](MiniHeap* span)
                   NO_THREAD_SAFETY_ANALYSIS { fits = fits && AddToFoldLocked(span, &plan); };
    if (share_ == nullptr) {
      add(MiniHeap::Of(*cursor));
    } else {
      MiniHeap::Of(*cursor)->ForEachMember(add);  // Lists have leaders alone.
    }
    if (fits) continue;
    *cursor = before;  // the batch is full: first of the next
    break;
  }
  RunBatchLocked(mesher);
  mesher.Fold({plan.spans, plan.count});
  return plan.copied_pages;
}

bool SizeClassHeap::TakeChanged() {
  FreePending();
  MutexLock lock(lock_);
  bool changed = changed_;
  changed_ = false;
  // Memory that waits for spans to come is out of the arena's sight.
  if (reserve_dirty_) DropReserveLocked();
  return changed;
}

void SizeClassHeap::NoteChanged() {
  MutexLock lock(lock_);
  changed_ = true;
}

void SizeClassHeap::SplitOffLocked(MiniHeap* span) {
  MiniHeap* leader = span->leader();
  RemoveFromListLocked(leader);
  BackingPage backing = span->backing();
  if (!leader->is_alone()) NoteLeftLocked(span);
  MiniHeap* left = span->Leave();
  span->SetMemory(SpanMemory::kPrivate, kNoBackingPage);
  backed_pages_ -= span->pages();
  EmptyFreeSlots(span);
  if (left == nullptr) {
    backing_->Free(backing, span->pages());
  } else {
    InsertLocked(left);
  }
  InsertLocked(span);
}

}  // namespace mesh
