// See compactor.h.
#include "src/global/compactor.h"

#include <bit>

#include "src/base/check.h"
#include "src/meshing/group_packer.h"
#include "src/os/memory.h"
#include "src/os/process.h"

namespace mesh {
namespace {

// Virtual spans that one group may have: with each, a free slot of the group costs a longer walk.
constexpr uint32_t kMaxGroupMembers = 64;

// The smallest object that may be a stack: what sigaltstack(2) takes on any machine. A store to a
// stack that is protected by mprotect kills: the kernel has nowhere to push the signal's frame.
constexpr uint32_t kLeastStackBytes = 2048;

// Where forks are expected: pages of small spans from which on new ones get longer than
// GlobalHeap::ExpectForks() begins with. (512 MB of 16 to 1024 bytes, 85 % freed: physical memory
// 124 MB with 38,700 mappings at 4 pages throughout, 152 with 21,300 at 8; half of it freed: 474
// and 568.)
constexpr int64_t kPagesBeforeLongSpans = 24 * 1024;
constexpr PageCount kLongSpanPages = 8;

// The first spans of `leaders` that can be meshed into one group. The packer counts groups that are
// there already as one span each.
uint32_t FittingPrefix(std::span<MiniHeap* const> leaders) {
  uint32_t members = 0;
  for (uint32_t i = 0; i < leaders.size(); i++) {
    members += leaders[i]->member_count();
    if (members > kMaxGroupMembers) return i;
  }
  return static_cast<uint32_t>(leaders.size());
}

}  // namespace

// False when this thread or process must not mesh, or there is no scratch memory.
bool Compactor::PrepareLocked() {
  if (is_stopped()) return false;
  int on_stack = 0;
  if (!PageMap::Find(reinterpret_cast<uintptr_t>(&on_stack)).is_empty()) return false;  // [C2]
  if (scratch_ == nullptr) {
    os::Result<uintptr_t> place = os::MapAnonymous(sizeof(Scratch));
    if (!place.ok()) return false;
    scratch_ = reinterpret_cast<Scratch*>(place.value);
  }
  RefreshBudgetLocked();
  static_cast<void>(barrier_.Prepare());
  CoverSegmentsLocked();
  return true;
}

// What a fork copies is kept in proportion to the heap, by the budget, and by longer spans for a
// heap that would meet it.
void Compactor::RefreshBudgetLocked() {
  if (!spares_forks_) return budget_.Refresh();
  int64_t pages = 0;
  int64_t meshed_pages = 0;
  for (SizeClassHeap& heap : heaps_) {
    SizeClassStatistics statistics = heap.statistics();
    pages += static_cast<int64_t>(statistics.pages);
    meshed_pages += static_cast<int64_t>(statistics.meshed_pages);
  }
  if (pages > kPagesBeforeLongSpans && !has_long_spans_) {
    for (SizeClassHeap& heap : heaps_) heap.AllowSpanPages(kLongSpanPages);
    has_long_spans_ = true;
  }
  budget_.Refresh(pages, meshed_pages);
}

// Whether the barrier of this pass may hold back stores to objects of the class.
bool Compactor::MayMoveLocked(const SizeClassInfo& info) const {
  if (!info.meshable) return false;
  return barrier_.tier() != BarrierTier::kSegv || info.size < kLeastStackBytes;
}

// Registers the small segments with the barrier as wholes when something has changed: each call
// costs as many mappings as there are in the segment.
void Compactor::CoverSegmentsLocked() {
  size_t bytes = 0;
  arena_.ForEachSmallSegment([&](uintptr_t, size_t length) { bytes += length; });
  uint64_t given = budget_.given();
  bool same = bytes == covered_bytes_ && barrier_.epoch() == covered_epoch_;
  if (same && given - covered_given_ < kCoverAfter) return;
  // A segment that the barrier cannot watch as a whole is watched span by span, at more cost.
  arena_.ForEachSmallSegment([&](uintptr_t address, size_t length) {
    static_cast<void>(barrier_.Cover({address, length}));
  });
  covered_bytes_ = bytes;
  covered_epoch_ = barrier_.epoch();
  covered_given_ = given;
}

bool Compactor::Enter(bool wait) {
  if (wait) {
    lock_.Lock();
  } else if (!lock_.TryLock()) {
    return false;
  }
  if (holds_ == 0) return true;
  lock_.Unlock();
  return false;
}

void Compactor::Resume() {
  MutexLock lock(lock_);
  holds_--;
}

size_t Compactor::Run(const PassLimits& limits, bool wait) {
  if (!Enter(wait)) return 0;
  size_t freed = 0;
  if (PrepareLocked()) {
    statistics_.passes++;
    for (size_t i = 0; i < heaps_.size(); i++) {
      if (os::MonotonicNs() >= limits.deadline_ns) break;
      SizeClassHeap& heap = heaps_[next_class_];
      next_class_ = (next_class_ + 1) % heaps_.size();
      const SizeClassInfo& info = kSizeClasses[heap.size_class()];
      if (!MayMoveLocked(info) || !(heap.TakeChanged() || limits.every_class)) continue;
      for (uint32_t units = info.max_units; units > 0; units /= 2) {
        freed += size_t{CompactClassLocked(heap, units, limits)} << kPageShift;
      }
      if (limits.look_again) heap.NoteChanged();
    }
    if (freed > 0) NoteSavedLocked();
    static_cast<void>(os::ReleasePages(reinterpret_cast<uintptr_t>(scratch_), sizeof(Scratch)));
  }
  lock_.Unlock();
  return freed;
}

uint32_t Compactor::Fold(uint64_t deadline_ns, bool wait) {
  if (!Enter(wait)) return 0;
  uint32_t saved = 0;
  os::PageTable table;
  if (PrepareLocked() && table.Open().ok()) {
    for (size_t classes = 0; classes < heaps_.size() && os::MonotonicNs() < deadline_ns;) {
      SizeClassHeap& heap = heaps_[fold_class_];
      if (MayMoveLocked(kSizeClasses[heap.size_class()]) && heap.statistics().meshed > 0) {
        uint64_t began = os::MonotonicNs();
        saved += heap.FoldBatch(mesher_, table, &fold_cursor_);
        NotePauseLocked(os::MonotonicNs() - began);
        if (fold_cursor_ != kNoSpan) continue;
      }
      fold_cursor_ = kNoSpan;
      fold_class_ = (fold_class_ + 1) % heaps_.size();
      classes++;
    }
    statistics_.pages_folded += saved;
  }
  lock_.Unlock();
  return saved;
}

// Long spans come first: each of them saves more for its mapping.
// Returns: pages freed.
uint32_t Compactor::CompactClassLocked(SizeClassHeap& heap, uint32_t units,
                                       const PassLimits& limits) {
  Scratch& s = *scratch_;
  uint32_t count = heap.Withdraw(units, s.leaders, s.bits, s.counts);
  uint32_t meshed = 0;
  if (count > 1) {
    uint32_t groups =
        PlanLocked(kSizeClasses[heap.size_class()].slots * units, count, limits.tests_per_class);
    meshed = MeshGroupsLocked(heap, groups, limits);
  }
  heap.Restore({s.leaders, count});
  return meshed;
}

// Sorts the candidates by the group that the packer puts them in, those that are alone left out;
// order[] becomes where each group starts. Returns: groups.
uint32_t Compactor::PlanLocked(SlotIndex slots, uint32_t count, uint64_t tests) {
  Scratch& s = *scratch_;
  PackLimits limits{slots, kMaxGroupMembers, tests};
  PackerArrays arrays{s.order, s.group, s.group_bits, s.group_count, s.members};
  uint32_t groups = PackGroups({s.bits, count}, {s.counts, count}, limits, arrays);
  for (uint32_t i = 0; i < count; i++) s.keys[i] = s.leaders[i]->id();
  groups = NumberByAddress({s.keys, count}, groups, arrays);
  uint32_t start = 0;
  for (uint32_t g = 0; g < groups; g++) {
    s.order[g] = start;
    start += s.members[g];
  }
  for (uint32_t i = 0; i < count; i++) {
    if (s.group[i] != kUnmeshed) s.sorted[s.order[s.group[i]]++] = s.leaders[i];
  }
  for (uint32_t g = 0; g < groups; g++) s.order[g] -= s.members[g];
  return groups;
}

uint32_t Compactor::MeshGroupsLocked(SizeClassHeap& heap, uint32_t groups,
                                     const PassLimits& limits) {
  Scratch& s = *scratch_;
  uint32_t meshed = 0;
  uint32_t next = 0;
  // Planning may have used the time up: a plan that is there is begun all the same.
  for (uint32_t batch = 0; next < groups; batch++) {
    if (batch >= limits.least_batches && os::MonotonicNs() >= limits.deadline_ns) break;
    uint32_t first = next;
    uint64_t began = os::MonotonicNs();
    MeshResult result = heap.MeshBatch(mesher_, [&](Mesher& mesher) {
      while (next < groups && mesher.planned() < kMovesPerBatch) {
        std::span<MiniHeap* const> group{s.sorted + s.order[next], s.members[next]};
        uint32_t fitting = FittingPrefix(group);
        bool planned = fitting < 2 || mesher.Add(group.first(fitting));
        // One that does not fit behind others is tried again as the first of the next batch.
        if (!planned && !mesher.is_empty()) break;
        uint32_t done = fitting > 1 ? fitting : 1;
        s.order[next] += done;
        s.members[next] -= done;
        if (s.members[next] == 0) next++;
        if (!planned && budget_.is_exhausted()) break;
      }
    });
    if (next > first) NotePauseLocked(os::MonotonicNs() - began);
    meshed += result.pages_freed;
    statistics_.spans_meshed += result.spans_freed;
    statistics_.pages_meshed += result.pages_freed;
    statistics_.moves_failed += result.moves_failed;
    statistics_.barrier_failed += result.barrier_failed ? 1 : 0;
    statistics_.mappings_refused += budget_.is_exhausted() ? 1 : 0;
    if (result.barrier_failed || budget_.is_exhausted()) break;
  }
  if (next < groups) heap.NoteChanged();
  return meshed;
}

void Compactor::NoteSavedLocked() {
  uint64_t pages = 0;
  for (SizeClassHeap& heap : heaps_) pages += heap.statistics().meshed_pages;
  if (pages > statistics_.pages_saved_peak) statistics_.pages_saved_peak = pages;
}

void Compactor::NotePauseLocked(uint64_t ns) {
  if (ns > statistics_.longest_pause_ns) statistics_.longest_pause_ns = ns;
  uint32_t bucket = static_cast<uint32_t>(std::bit_width(ns / 1000));
  statistics_.pauses[bucket < kPauseBuckets ? bucket : kPauseBuckets - 1]++;
}

CompactorStatistics Compactor::statistics() {
  MutexLock lock(lock_);
  return statistics_;
}

}  // namespace mesh
