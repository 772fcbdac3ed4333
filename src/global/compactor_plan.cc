// Compactor, the half that decides what: surveys, plans, and what goes into a batch. See
// compactor.h.
#include <algorithm>

#include "src/global/compactor.h"
#include "src/meshing/edges.h"
#include "src/meshing/group_packer.h"

namespace mesh {
namespace {

// Virtual spans that one group may have: with each, a free slot of the group costs a longer walk.
constexpr uint32_t kMaxGroupMembers = 64;

// What must be free of a class before it is looked at beside a program at work, as a part of the
// slots in use, and in bytes. Where objects come and go steadily it is 2 to 5 %, and up to 20 where
// threads have spans of their own (kDenseShare of size_class_heap.cc).
constexpr uint64_t kDenseShare = 4;
constexpr uint64_t kDenseBytes = 4 * kPageSize;

// Whether a span is the next one in a frame: it lies behind the last, and its memory does.
bool Follows(const SizeClassHeap::Candidate& span, const SizeClassHeap::Candidate& last,
             PageCount pages) {
  return span.id == last.id + pages && GoesOn(last.backing, span.backing, pages);
}

}  // namespace

void Compactor::BeginClass(const PassLimits& limits, PassResult* result) {
  if (next_heap_ == nullptr) next_heap_ = heaps_.data();
  SizeClassHeap& heap = *next_heap_;
  next_heap_ = After(next_heap_);
  if (limits.program_heap != 0 && heap.program_heap() != limits.program_heap) return;
  const SizeClassInfo& info = kSizeClasses[heap.size_class()];
  if (!info.meshable) {
    if (!heap.TakeChanged() && !limits.every_class) return;
    if (!BeginTrim(heap, limits) && limits.keeps_recent && heap.IsWorthTrimming(false)) {
      result->has_kept = true;
      heap.NoteChanged();
    }
    return;
  }
  if (budget_.is_exhausted()) {
    result->is_limited = true;
    return;
  }
  if (!MayMove(info)) return;
  if (!heap.TakeChanged() && !limits.every_class) return;
  // To find out that there are none, the survey would look at every page of the arena.
  const SizeClassStatistics statistics = heap.statistics();
  if (statistics.spans == 0) return;
  if (limits.keeps_recent && IsDense(heap, statistics)) {
    result->has_kept = true;
    heap.NoteChanged();
    return;
  }
  if (heap.program_heap() == 0) ChooseFrames();
  const uint32_t units = FrameUnits(heap);
  result->is_limited |= units != 1;
  if (units == kNoFrame) {
    heap.NoteChanged();  // for when there are mappings
    return;
  }
  if (heap.program_heap() == 0) {
    made_units_[heap.size_class() - 1] = static_cast<uint8_t>(units);
  }
  progress_ = {};
  progress_.heap = &heap;
}

// False: too little lies in free slots.
bool Compactor::BeginTrim(SizeClassHeap& heap, const PassLimits& limits) {
  if (!heap.IsWorthTrimming(limits.keeps_recent)) return false;
  heap.BeginTrim();
  progress_ = {};
  progress_.heap = &heap;
  progress_.is_trimming = true;
  return true;
}

// Whether so little is free in the class that even the best packing would not pay for the look.
bool Compactor::IsDense(SizeClassHeap& heap, const SizeClassStatistics& statistics) {
  const uint64_t free = statistics.slots - statistics.in_use;
  return free * kDenseShare < statistics.in_use ||
         free * kSizeClasses[heap.size_class()].size < kDenseBytes;
}

void Compactor::Survey() {
  Progress& p = progress_;
  p.found += p.heap->Survey(&p.cursor, std::span(scratch_->found).subspan(p.found));
  p.is_surveyed = p.cursor == kNoSpan;
}

// Adds a span to the frame that is being made, which has `taken` already.
void Compactor::AddCandidate(const Candidate& candidate, uint32_t taken) {
  Progress& p = progress_;
  Scratch& s = *scratch_;
  if (taken == 0) {
    s.ids[p.count] = candidate.id;
    s.bits[p.count] = candidate.bits;
    s.counts[p.count] = candidate.in_use;
    return;
  }
  uint32_t slots = kSizeClasses[p.heap->size_class()].slots * p.units;
  s.bits[p.count] |= candidate.bits.ShiftedUp(static_cast<SlotIndex>(taken * slots));
  s.counts[p.count] = static_cast<uint16_t>(s.counts[p.count] + candidate.in_use);
}

void Compactor::BeginPlan() {
  Progress& p = progress_;
  PageCount pages = kSizeClasses[p.heap->size_class()].unit_pages * p.units;
  p.frame = FrameUnits(*p.heap) / p.units;
  if (p.frame == 0) p.frame = 1;
  p.count = 0;
  uint32_t taken = 0;
  const Candidate* last = nullptr;
  for (const Candidate& candidate : std::span(scratch_->found).first(p.found)) {
    if (candidate.units != p.units) continue;
    if (taken > 0 && !Follows(candidate, *last, pages)) taken = 0;
    AddCandidate(candidate, taken++);
    last = &candidate;
    if (taken < p.frame) continue;
    p.count++;
    taken = 0;
  }
  p.next = 0;
  p.groups = 0;
  p.packing = {};
  p.is_packing = p.count > 1;
}

void Compactor::Plan(uint64_t looks) {
  Progress& p = progress_;
  Scratch& s = *scratch_;
  const SizeClassInfo& info = kSizeClasses[p.heap->size_class()];
  PackLimits limits{static_cast<SlotIndex>(info.slots * p.units * p.frame), kMaxGroupMembers,
                    looks};
  PackerArrays arrays{s.order, s.group, s.group_bits, s.group_count, s.members, s.blocks};
  if (!PackSome({s.bits, p.count}, {s.counts, p.count}, limits, arrays, kLooksPerStep,
                &p.packing)) {
    return;
  }
  p.is_packing = false;
  p.groups = NumberByAddress({s.ids, p.count}, p.packing.groups, arrays);
  SortPlan();
}

// Sorts the spans by their group, those that are alone left out; order[] becomes where each begins.
// Frames are taken apart: a group of them becomes one group for each place in a frame, in a row.
void Compactor::SortPlan() {
  Progress& p = progress_;
  Scratch& s = *scratch_;
  PageCount pages = kSizeClasses[p.heap->size_class()].unit_pages * p.units;
  uint32_t frames = p.groups;
  p.groups *= p.frame;
  for (uint32_t g = frames; g > 0; g--) {
    std::fill_n(s.members + size_t{g - 1} * p.frame, p.frame, s.members[g - 1]);
  }
  uint32_t start = 0;
  for (uint32_t g = 0; g < p.groups; g++) {
    s.order[g] = start;
    start += s.members[g];
  }
  for (uint32_t i = 0; i < p.count; i++) {
    if (s.group[i] == kUnmeshed) continue;
    for (uint32_t place = 0; place < p.frame; place++) {
      uint32_t& next = s.order[s.group[i] * p.frame + place];
      s.sorted[next++] = s.ids[i] + place * pages;
    }
  }
  for (uint32_t g = 0; g < p.groups; g++) s.order[g] -= s.members[g];
}

uint32_t Compactor::MovesPerBatch() const {
  uint32_t pages = kSizeClasses[progress_.heap->size_class()].unit_pages * progress_.units;
  uint32_t moves = batch_pages_ / (kMoveWeight + pages);
  return moves > 0 ? moves : 1;
}

// Adds groups to the mesher until it is enough for a batch. A large group is meshed in several: a
// span of the part that is done stands for all of that part in the next.
// Under the lock of the class, which clang cannot tell by p.heap.
void Compactor::AddGroups(SizeClassHeap::Gathered* gathered) NO_THREAD_SAFETY_ANALYSIS {
  Progress& p = progress_;
  Scratch& s = *scratch_;
  uint32_t moves = MovesPerBatch();
  while (p.next < p.groups && mesher_.planned() < moves) {
    uint32_t& first = s.order[p.next];
    uint32_t& count = s.members[p.next];
    uint32_t most = moves - mesher_.planned() + 1;
    uint32_t taken = count < most ? count : most;
    if (gathered->room() < taken) return;
    std::span<MiniHeap*> leaders =
        count < 2
            ? std::span<MiniHeap*>()
            : p.heap->GatherLocked({s.sorted + first, taken}, p.units, kMaxGroupMembers, gathered);
    bool is_planned = leaders.size() < 2 || mesher_.Add(leaders);
    if (!is_planned) {
      p.heap->PutBackLocked(gathered, leaders.size());
      // One that does not fit behind others is tried again as the first of the next batch.
      if (!mesher_.is_empty() || budget_.is_exhausted()) return;
    }
    if (taken == count) {
      p.next++;
      continue;
    }
    first += taken - 1;
    count -= taken - 1;
    if (is_planned && !leaders.empty()) s.sorted[first] = leaders[0]->id();
    return;
  }
}

// Keeps batches near kBatchNs. One that took longer may have been interrupted: so it is cut to a
// quarter at most, and grows again.
void Compactor::AdaptBatch(uint64_t ns, uint32_t moves) {
  bool was_full = moves >= MovesPerBatch();
  if (ns > 2 * kBatchNs) {
    batch_pages_ = ns < 4 * kBatchNs ? batch_pages_ / 2 : batch_pages_ / 4;
  } else if (ns > kBatchNs) {
    batch_pages_ -= batch_pages_ / 4;
  } else if (was_full && ns < kBatchNs * 3 / 4) {
    batch_pages_ += batch_pages_ / 8 + 1;
  }
  if (batch_pages_ < kLeastBatch) batch_pages_ = kLeastBatch;
  if (batch_pages_ > kLargestBatch) batch_pages_ = kLargestBatch;
}

}  // namespace mesh
