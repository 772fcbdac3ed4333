// SizeClassHeap, the half for compaction and fork: withdrawing spans, folding, splitting off.
#include "src/global/size_class_heap.h"

namespace mesh {

uint32_t SizeClassHeap::Withdraw(uint32_t units, std::span<MiniHeap*> out, std::span<Bitmap> bits,
                                 std::span<uint16_t> counts) {
  MutexLock lock(lock_);
  uint32_t count = 0;
  auto take_from = [&](SpanList& list) NO_THREAD_SAFETY_ANALYSIS {
    for (MiniHeap* leader = list.front(); leader != nullptr && count < out.size();) {
      MiniHeap* next = SpanList::Next(leader);
      if (leader->units() == units && leader->in_use() * 8 <= leader->slots() * 7) {
        RemoveFromListLocked(leader);
        leader->SetPlace(SpanPlace::kWithdrawn);
        leader->owner_ = 0;
        out[count] = leader;
        bits[count] = leader->GroupOccupancy();
        counts[count] = leader->in_use_;
        count++;
      }
      leader = next;
    }
  };
  for (SpanList& list : partial_) take_from(list);
  take_from(attached_);
  return count;
}

void SizeClassHeap::RestoreLocked(MiniHeap* leader) {
  if (leader->place_ != SpanPlace::kWithdrawn) return;
  leader->SetPlace(SpanPlace::kNowhere);
  InsertLocked(leader);
}

MeshResult SizeClassHeap::RunBatchLocked(Mesher& mesher) {
  MeshResult result = mesher.Run();
  // Both may be negative: unsigned arithmetic wraps to what is meant.
  members_ += static_cast<uint64_t>(int64_t{result.members_gained});
  member_pages_ += static_cast<uint64_t>(int64_t{result.pages_gained});
  mesher.ForEachTouched([&](MiniHeap* span)
                            NO_THREAD_SAFETY_ANALYSIS { RestoreLocked(span->leader()); });
  return result;
}

void SizeClassHeap::Restore(std::span<MiniHeap* const> leaders) {
  MutexLock lock(lock_);
  for (MiniHeap* leader : leaders) RestoreLocked(leader);
}

uint32_t SizeClassHeap::FoldBatch(Mesher& mesher, const os::PageTable& table, SpanId* cursor) {
  MiniHeap* spans[kSpansFolded];
  uint32_t count = 0;
  uint32_t copied_pages = 0;
  MutexLock lock(lock_);
  // Spans of this class do not come or go meanwhile; others are recognised by their entries.
  for (uint32_t looked = 0; looked < kSpansLookedAt && count < kSpansFolded; looked++) {
    SpanId before = *cursor;
    *cursor = arena_->NextSpan(before, size_class_);
    if (*cursor == kNoSpan) break;
    MiniHeap* span = MiniHeap::Of(*cursor);
    if (!span->is_backed()) continue;
    MiniHeap* leader = span->leader();
    if (leader->place() == SpanPlace::kWithdrawn) continue;
    bool can_move = !backing_->CanShow(span->backing());
    bool is_wasteful = can_move && backing_->IsWasteful(span->backing());
    // New objects come to be at the addresses of an attached span: it would be copied again at
    // once.
    if (leader->place() == SpanPlace::kAttached && !is_wasteful) continue;
    os::Result<size_t> copied = table.CopiedPages(span->address(), span->length());
    if (!copied.ok() || (copied.value == 0 && !is_wasteful)) continue;
    if (backing_->CanFold(span->backing())) {
      spans[count++] = span;
      copied_pages += static_cast<uint32_t>(copied.value);
    } else if (can_move) {
      // A fork's child may see the old pages: the group moves to new ones.
      if (!mesher.Add({&leader, 1})) {
        if (mesher.is_empty()) continue;
        *cursor = before;  // the batch is full: first of the next
        break;
      }
      RemoveFromListLocked(leader);
      leader->SetPlace(SpanPlace::kWithdrawn);
      leader->owner_ = 0;
      copied_pages += static_cast<uint32_t>(copied.value);
    }
  }
  RunBatchLocked(mesher);
  mesher.Fold({spans, count});
  return copied_pages;
}

bool SizeClassHeap::TakeChanged() {
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
  if (!leader->is_alone()) {
    members_--;
    member_pages_ -= span->pages();
  }
  MiniHeap* left = span->Leave();
  span->SetMemory(SpanMemory::kPrivate, kNoBackingPage);
  if (left == nullptr) {
    backing_->Free(backing, span->pages());
  } else {
    InsertLocked(left);
  }
  InsertLocked(span);
}

}  // namespace mesh
