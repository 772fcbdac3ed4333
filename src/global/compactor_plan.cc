// Compactor, the half that decides what: surveys, plans, and what goes into a batch. See
// compactor.h.
#include <algorithm>
#include <bit>

#include "src/global/compactor.h"
#include "src/meshing/edges.h"
#include "src/meshing/group_packer.h"

namespace mesh {
namespace {

// What must be free of a class before it is looked at beside a program at work, as a part of the
// slots in use, and in bytes. Where objects come and go steadily it is 2 to 5 %, and up to 20 where
// threads have spans of their own (kDenseShare of size_class_heap.cc).
constexpr uint64_t kDenseShare = 4;
constexpr uint64_t kDenseBytes = 4 * kPageSize;

// Spans that are chosen to lead in one go: as many neighbours as a class cuts from one piece.
constexpr uint32_t kStretch = 64;
// Of a place in a list: it is in the order already.
constexpr uint32_t kTaken = UINT32_MAX;

}  // namespace

void Compactor::BeginClass(const PassLimits& limits, PassResult* result) {
  if (next_heap_ == nullptr) next_heap_ = First();
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
  result->is_limited |= budget_.is_exhausted();
  if (budget_.is_exhausted() && heap.program_heap() != 0) return;
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
  bool each = false;
  if (heap.program_heap() == 0) {
    SetPrice();
    result->is_limited |= price_ > 0;
    each = price_ > 0 && IsWorthPlanningAnew(heap, statistics.in_use);
    const bool may_go_on = !budget_.is_exhausted() && (price_ == 0 || IsWorthPrice(heap));
    if (!each && !may_go_on) {
      heap.NoteChanged();  // for when there are mappings
      return;
    }
  }
  progress_ = {};
  progress_.heap = &heap;
  progress_.each = each;
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
  p.found += p.heap->Survey(&p.cursor, p.each, std::span(scratch_->found).subspan(p.found));
  p.is_surveyed = p.cursor == kNoSpan;
}

void Compactor::AddCandidate(const Candidate& candidate) {
  Progress& p = progress_;
  Scratch& s = *scratch_;
  s.ids[p.count] = candidate.id;
  s.bits[p.count] = candidate.bits;
  s.counts[p.count++] = candidate.in_use;
}

void Compactor::BeginPlan() {
  Progress& p = progress_;
  p.next = 0;
  p.groups = 0;
  p.count = 0;
  p.leaders = 0;
  p.packing = {};
  p.runs = {};
  if (p.each || PriceOf(*p.heap) > 0) {
    Arrange();
  } else {
    for (const Candidate& candidate : std::span(scratch_->found).first(p.found)) {
      if (candidate.units == p.units) AddCandidate(candidate);
    }
  }
  p.is_packing = p.count > 1;
}

// Lists the spans of the length, as places in found[], in sorted[]: those that lead groups by where
// their memory lies, then the plain ones by their addresses. Returns: how many.
uint32_t Compactor::ListByKind(uint32_t* groups) {
  Progress& p = progress_;
  Scratch& s = *scratch_;
  uint32_t count = 0;
  for (bool is_plain : {false, true}) {
    for (uint32_t i = 0; i < p.found; i++) {
      const Candidate& span = s.found[i];
      if (span.units != p.units || IsPlain(span) != is_plain) continue;
      s.sorted[count++] = i;
    }
    if (!is_plain) *groups = count;
  }
  std::sort(s.sorted, s.sorted + *groups,
            [&s](uint32_t a, uint32_t b) { return s.found[a].backing < s.found[b].backing; });
  return count;
}

// Cuts the spans of sorted[first] to sorted[end] into stretches of neighbours, whose beginnings are
// in group[], and lists them in order[], the fullest first. Returns: stretches.
uint32_t Compactor::RankStretches(uint32_t first, uint32_t end) {
  Scratch& s = *scratch_;
  uint32_t count = 0;
  for (uint32_t i = first; i < end; i++) {
    const bool goes_on = i > first && i - s.group[count - 1] < kStretch &&
                         IsJoined(s.found[s.sorted[i - 1]], s.found[s.sorted[i]], false);
    if (!goes_on) {
      s.members[count] = 0;
      s.order[count] = count;
      s.group[count++] = i;
    }
    s.members[count - 1] += s.found[s.sorted[i]].in_use;
  }
  s.group[count] = end;
  std::sort(s.order, s.order + count, [&s](uint32_t a, uint32_t b) {
    return uint64_t{s.members[a]} * (s.group[b + 1] - s.group[b]) >
           uint64_t{s.members[b]} * (s.group[a + 1] - s.group[a]);
  });
  return count;
}

// Whether a span lies right behind another one: its addresses do, or the memory that it shows or,
// where it leads, will show.
bool Compactor::IsJoined(const Candidate& before, const Candidate& span, bool leads) const {
  const PageCount pages = kSizeClasses[progress_.heap->size_class()].unit_pages * progress_.units;
  if (!progress_.each && !GoesOn(before.backing, span.backing, pages)) return false;
  return leads || !IsPlain(span) || span.id == before.id + pages;
}

// Puts the spans in the order that PackRuns() wants. Groups lead, since one that follows takes all
// its spans along; then stretches of neighbours that are fuller than others, since what is full
// fits nowhere.
void Compactor::Arrange() {
  Progress& p = progress_;
  Scratch& s = *scratch_;
  const SizeClassInfo& info = kSizeClasses[p.heap->size_class()];
  uint32_t groups = 0;
  const uint32_t count = ListByKind(&groups);
  if (count < 2) return;
  SpanDemand demand = DemandOf(s.demands[p.heap->size_class() - 1], std::countr_zero(p.units));
  demand.spans = count;
  demand.plain = count - groups;
  uint64_t in_use = 0;
  for (uint32_t i = 0; i < count; i++) in_use += s.found[s.sorted[i]].in_use;
  demand.live = static_cast<double>(in_use) / (double{1} * count * info.slots * p.units);
  if (p.each) {
    p.leaders = CountLeadersAnew(demand);
  } else {
    p.leaders = PlanPacking(demand, price_).leaders;
  }
  if (p.leaders == count) return;
  const Candidate* last = nullptr;
  auto add = [&](uint32_t& place) NO_THREAD_SAFETY_ANALYSIS {
    const Candidate& span = s.found[place];
    const bool leads = p.count < p.leaders;
    const bool is_first = p.count == 0 || p.count == p.leaders;
    s.joined[p.count] = !is_first && IsJoined(*last, span, leads);
    AddCandidate(span);
    last = &span;
    place = kTaken;
  };
  const uint32_t stretches = RankStretches(groups, count);
  if (p.each) PutCostlyFirst();
  for (uint32_t i = 0; i < groups && p.count < p.leaders; i++) add(s.sorted[i]);
  for (uint32_t i = 0; i < stretches; i++) {
    const uint32_t* first = s.group + s.order[i];
    for (uint32_t at = first[0]; at < first[1] && p.count < p.leaders; at++) add(s.sorted[at]);
  }
  for (uint32_t i = 0; i < count; i++) {
    if (s.sorted[i] != kTaken) add(s.sorted[i]);
  }
}

void Compactor::Plan(uint64_t looks) {
  Progress& p = progress_;
  Scratch& s = *scratch_;
  const SizeClassInfo& info = kSizeClasses[p.heap->size_class()];
  const PackLimits limits{static_cast<SlotIndex>(info.slots * p.units), kMaxGroupMembers, looks};
  const std::span<const Bitmap> bits{s.bits, p.count};
  const std::span<const uint16_t> counts{s.counts, p.count};
  if (p.leaders > 0) {
    const RunArrays arrays{s.joined,      s.group,  s.members,
                           s.group_count, s.blocks, {s.rows[0], s.rows[1], s.rows[2], s.rows[3]}};
    if (!PackRuns(bits, counts, p.leaders, limits, arrays, kLooksPerStep, &p.runs)) return;
    p.groups = p.runs.groups;
  } else {
    const PackerArrays arrays{s.order, s.group, s.group_bits, s.group_count, s.members, s.blocks};
    if (!PackSome(bits, counts, limits, arrays, kLooksPerStep, &p.packing)) return;
    p.groups = NumberByAddress({s.ids, p.count}, p.packing.groups, arrays);
  }
  p.is_packing = false;
  if (p.each) {
    std::fill_n(s.order, p.groups, kNoSpan);
    std::fill_n(s.members, p.groups, UINT32_MAX);
  } else {
    SortPlan();
  }
}

// Sorts the spans by their group, those that are alone left out; order[] becomes where each begins.
void Compactor::SortPlan() {
  Progress& p = progress_;
  Scratch& s = *scratch_;
  uint32_t start = 0;
  for (uint32_t g = 0; g < p.groups; g++) {
    s.order[g] = start;
    start += s.members[g];
  }
  for (uint32_t i = 0; i < p.count; i++) {
    if (s.group[i] != kUnmeshed) s.sorted[s.order[s.group[i]]++] = s.ids[i];
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
void Compactor::AddGroups(Gathered* gathered) NO_THREAD_SAFETY_ANALYSIS {
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
