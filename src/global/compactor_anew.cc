// Compactor, the part that plans the groups of a class anew, each span for itself. See compactor.h.
//
// Mappings that were spent while spans were full stay with groups that save little; and later, when
// the spans are much emptier, such groups can only be merged as wholes. Planned anew, a class needs
// fewer mappings for fewer pages; what it brings back, the next one has.
#include <algorithm>

#include "src/global/compactor.h"
#include "src/meshing/edges.h"

namespace mesh {
namespace {

// What has to go of a class's objects, and to be saved of its pages: a part of each.
constexpr uint64_t kFewer = 8;
constexpr double kSaved = 8;

// What a class brings back of its mappings where there are more than there may be: a part.
constexpr uint32_t kEnded = 8;

// Steps of a plan that one batch looks at.
constexpr uint32_t kMostSteps = 256;

}  // namespace

// By all mappings that are not the program's; after SetPrice(), if need be.
void Compactor::SetPriceAnew() {
  if (price_anew_ != kUnknown) return;
  MeshDemand* anew = scratch_->demands_anew;
  for (size_t i = 0; i < heaps_.size(); i++) anew[i] = Afresh(scratch_->demands[i]);
  price_anew_ =
      PriceOfMappings({anew, heaps_.size()}, static_cast<uint64_t>(budget_.for_meshing()));
}

// Whether the groups of a class are to be planned anew: where an eighth of its objects has gone
// since, and that saves an eighth of its pages more than going on with the groups that there are.
bool Compactor::IsWorthPlanningAnew(SizeClassHeap& heap, uint64_t in_use) {
  const size_t index = heap.size_class() - size_t{1};
  const MeshDemand& now = scratch_->demands[index];
  uint64_t& most = most_in_use_[index];
  most = std::max(most, in_use);
  const bool has_groups = now.pages > now.plain_pages;
  if (!has_groups || in_use > most - most / kFewer || !mesher_.MaySplitGroups()) return false;
  SetPriceAnew();
  const auto pages = static_cast<double>(now.pages);
  // Where no mapping is left, not even groups that need none more can be merged.
  const double further = budget_.left() > 0 ? PlanPacking(now, price_).pages : pages;
  const double saved = further - PlanPacking(Afresh(now), price_anew_).pages;
  if (saved * kSaved < pages) return false;
  most = in_use;
  return true;
}

// How many lead when the spans, each found for itself, are planned anew; all of them where that
// saves less than an eighth.
uint32_t Compactor::CountLeadersAnew(const SpanDemand& demand) {
  Scratch& s = *scratch_;
  uint32_t* shown = s.group;
  uint32_t views = 0;
  uint32_t mappings = 0;
  for (uint32_t i = 0; i < demand.spans; i++) {
    const BackingPage backing = s.found[s.sorted[i]].backing;
    mappings += CountEdgesBefore(i);
    if (backing != kNoBackingPage) shown[views++] = backing;
  }
  std::sort(shown, shown + views);
  const auto groups = static_cast<uint32_t>(std::unique(shown, shown + views) - shown);
  const double now = double{1} * (demand.spans - views + groups) * demand.pages;
  // Where there are more of them than there may be, each class ends some.
  const int64_t left = budget_.limit() - budget_.used();
  const auto room = static_cast<double>(mappings + std::max(left, -int64_t{mappings / kEnded}));
  const PackingPlan plan = PlanPacking(demand, price_anew_, room);
  return (now - plan.pages) * kSaved < now ? demand.spans : plan.leaders;
}

// Edges of mappings between the spans at sorted[i] and before it, which are sorted by address.
// Between two that are no neighbours, private memory is what is likely.
uint32_t Compactor::CountEdgesBefore(uint32_t i) const {
  const Scratch& s = *scratch_;
  const PageCount pages = kSizeClasses[progress_.heap->size_class()].unit_pages * progress_.units;
  const Candidate& span = s.found[s.sorted[i]];
  const uint32_t own = span.backing == kNoBackingPage ? 0 : 1;
  if (i == 0) return own;
  const Candidate& before = s.found[s.sorted[i - 1]];
  if (before.id + pages == span.id) return GoesOn(before.backing, span.backing, pages) ? 0 : 1;
  return own + (before.backing == kNoBackingPage ? 0 : 1);
}

// Of the stretches whose spans will lead, those come first that bring back most mappings when they
// do: so there are never many more of them than before or after.
void Compactor::PutCostlyFirst() {
  Scratch& s = *scratch_;
  uint32_t* edges = s.group_count;
  uint32_t leading = 0;
  for (uint32_t spans = 0; spans < progress_.leaders; leading++) {
    const uint32_t stretch = s.order[leading];
    spans += s.group[stretch + 1] - s.group[stretch];
    edges[stretch] = 0;
    for (uint32_t i = s.group[stretch]; i < s.group[stretch + 1]; i++) {
      edges[stretch] += CountEdgesBefore(i);
    }
  }
  std::sort(s.order, s.order + leading,
            [edges](uint32_t a, uint32_t b) { return edges[a] > edges[b]; });
}

// What AddGroups() is for groups, for spans each for itself, in the order of the plan: leaders
// first, then by addresses, so that there are hardly ever more mappings than before or after.
// order[] has a span of each group that has begun, members[] the step that has added to it last.
// Under the lock of the class, which clang cannot tell by p.heap.
void Compactor::AddSpans(Gathered* gathered) NO_THREAD_SAFETY_ANALYSIS {
  Progress& p = progress_;
  Scratch& s = *scratch_;
  if (!mesher_.MaySplitGroups()) p.next = p.steps();  // a fork has come
  const uint32_t moves = MovesPerBatch();
  const uint32_t first = p.next;
  const uint32_t end = std::min(p.steps(), first + kMostSteps);
  for (; p.next < end && mesher_.planned() < moves; p.next++) {
    const uint32_t group = s.group[p.next];
    // Leaders that nobody follows go along: a gap would cut the others off.
    if (group == kUnmeshed && p.next >= p.leaders) continue;
    const bool is_grouped = group != kUnmeshed;
    const bool has_begun = is_grouped && s.order[group] != kNoSpan;
    // What the batch has added to a group is not to be seen there yet.
    if (has_begun && s.members[group] >= first && s.members[group] < p.next) return;
    if (gathered->room() < 2) return;
    const GatheredSpan found = p.heap->GatherOneLocked(
        s.ids[p.next], has_begun ? s.order[group] : kNoSpan, p.units, kMaxGroupMembers, gathered);
    if (found.span == nullptr) continue;
    if (!mesher_.AddOne(found.span, found.target)) {
      p.heap->PutBackLocked(gathered, found.withdrawn);
      if (!mesher_.is_empty() || budget_.is_exhausted()) return;
      continue;
    }
    if (!is_grouped) continue;
    s.members[group] = p.next;
    if (!has_begun) s.order[group] = s.ids[p.next];
  }
}

// Groups that are planned anew take pages before they give some back: until then, none are freed.
void Compactor::PayBack(MeshResult* result) {
  Progress& p = progress_;
  const int64_t gained = int64_t{result->pages_gained} - p.owed;
  p.owed = static_cast<uint32_t>(std::max(-gained, int64_t{0}));
  result->pages_freed = static_cast<uint32_t>(std::max(gained, int64_t{0}));
  result->spans_freed =
      result->pages_freed / (p.units * kSizeClasses[p.heap->size_class()].unit_pages);
}

}  // namespace mesh
