// See mesher.h.
#include "src/meshing/mesher.h"

#include <cstring>

#include "src/base/check.h"
#include "src/base/sanitizer.h"
#include "src/meshing/edges.h"
#include "src/secure/slot_guard.h"

namespace mesh {
namespace {

// Copies an object, a multiple of 16 bytes. Other threads have written it, and wait in the barrier
// to write again: that orders the two, but ThreadSanitizer cannot see it and knows memcpy by name.
__attribute__((no_sanitize("thread"))) void CopyObject(char* to, const char* from, size_t size) {
  if constexpr (!kThreadSanitizer) {
    memcpy(to, from, size);
    return;
  }
  auto* source = reinterpret_cast<const volatile uint64_t*>(from);
  auto* target = reinterpret_cast<volatile uint64_t*>(to);
  for (size_t i = 0; i < size / sizeof(uint64_t); i++) target[i] = source[i];
}

// One that is a mapping already stays one.
uint8_t MostNewMappings(const MiniHeap& span) {
  return static_cast<uint8_t>(MappingBudget::kPerAlias - CountEdges(span, span.backing()));
}

}  // namespace

MiniHeap* Mesher::ChooseKeeper(std::span<MiniHeap* const> leaders) const {
  // A group that is in the backing already stays where it is: the fullest, so that least is copied.
  MiniHeap* keeper = nullptr;
  for (MiniHeap* leader : leaders) {
    if (!leader->is_backed() || !backing_.CanShow(leader->backing())) continue;
    if (keeper == nullptr || leader->in_use() > keeper->in_use()) keeper = leader;
  }
  return keeper;
}

// A group of the batch, for which `mappings` have been taken: some spans are about to move to
// `keeper` or, if it is null, to new pages.
bool Mesher::BeginGroup(MiniHeap* keeper, PageCount pages, int64_t mappings) {
  Group& group = groups_[group_count_];
  group.pages = pages;
  group.leader = keeper;
  group.is_new = keeper == nullptr;
  group.to = group.is_new ? backing_.Allocate(pages) : keeper->backing();
  if (group.to == kNoBackingPage) {
    budget_.Adjust(-mappings);
    return false;
  }
  group_count_++;
  return true;
}

// To the group that has begun last.
void Mesher::AddMove(MiniHeap* span) {
  ranges_[move_count_] = {span->address(), span->length()};
  windows_[move_count_] = backing_.WindowOf(*span);
  moves_[move_count_++] = {span, nullptr, group_count_ - 1, MostNewMappings(*span), false};
}

bool Mesher::Add(std::span<MiniHeap* const> leaders) {
  MiniHeap* keeper = ChooseKeeper(leaders);
  auto for_each = [&](auto visit) {
    for (MiniHeap* leader : leaders) {
      if (leader != keeper) leader->ForEachMember(visit);
    }
  };
  uint32_t moves = 0;
  int64_t mappings = 0;
  for_each([&](MiniHeap* span) {
    moves++;
    mappings += MostNewMappings(*span);
  });
  if (move_count_ + moves > kMaxMoves || !budget_.Take(mappings)) return false;
  if (!BeginGroup(keeper, leaders[0]->pages(), mappings)) return false;
  for_each([this](MiniHeap* span) { AddMove(span); });
  return true;
}

bool Mesher::MaySplitGroups() const {
  return !secure_policy.has_canaries && !backing_.has_private_views();
}

// Whether the batch takes spans out of the group, or puts some into it.
bool Mesher::TakesFrom(const MiniHeap* leader) const {
  for (uint32_t i = 0; i < move_count_; i++) {
    if (moves_[i].span->leader() == leader) return true;
  }
  return false;
}
bool Mesher::AddsTo(const MiniHeap* leader) const {
  for (uint32_t i = 0; i < group_count_; i++) {
    if (groups_[i].leader == leader) return true;
  }
  return false;
}

bool Mesher::AddOne(MiniHeap* span, MiniHeap* target) {
  MESH_DCHECK(MaySplitGroups());
  // Who leads what, and which slots are set, is as planned until the batch runs, and not while it
  // does.
  if (AddsTo(span->leader())) return false;
  if (target != nullptr && (AddsTo(target) || TakesFrom(target))) return false;
  const int64_t mappings = MostNewMappings(*span);
  if (move_count_ == kMaxMoves || !budget_.Take(mappings, true)) return false;
  if (!BeginGroup(target, span->pages(), mappings)) return false;
  AddMove(span);
  return true;
}

void Mesher::CopyObjects(const MiniHeap* span, BackingPage page) {
  size_t size = span->info().size;
  auto* from = reinterpret_cast<const char*>(span->address());
  auto* to = reinterpret_cast<char*>(backing_.AddressOf(page));
  span->occupancy().ForEachSet([&](SlotIndex slot) {
    size_t offset = span->OffsetOf(slot);
    CopyObject(to + offset, from + offset, size);
  });
}

// Slots that no object is copied to keep what SlotGuard wants of them, [SG2].
void Mesher::PrepareNewGroups() {
  if (!secure_policy.has_canaries) return;
  for (uint32_t i = 0; i < move_count_; i++) {
    const Group& group = groups_[moves_[i].group];
    if (!group.is_new || (i > 0 && moves_[i - 1].group == moves_[i].group)) continue;
    const MiniHeap& span = *moves_[i].span;
    SlotGuard::Prepare(reinterpret_cast<void*>(backing_.AddressOf(group.to)), span.size_class(),
                       span.units());
  }
}

bool Mesher::Show(const Move& move) {
  const Group& group = groups_[move.group];
  return backing_.Show(group.to, group.pages, move.span->address()).ok();
}

// The span shows the backing now: moves it from its old group into the one that is there.
// Returns by how many more spans somebody else's physical span is shared.
int32_t Mesher::Settle(Move& move) {
  Group& group = groups_[move.group];
  MiniHeap* span = move.span;
  bool was_backed = span->is_backed();
  BackingPage old_backing = span->backing();
  int32_t gained = span->is_alone() ? 0 : -1;
  const bool was_leader = span->is_leader();
  MiniHeap* left = span->Leave();
  if (was_leader) move.left = left;
  if (was_backed && left == nullptr) backing_.Free(old_backing, group.pages);
  span->SetMemory(SpanMemory::kBacked, group.to);
  if (group.leader == nullptr) {
    group.leader = span;
    // A member whose leader could not be moved led nothing until now.
    if (span->place() == SpanPlace::kNowhere) span->SetPlace(SpanPlace::kWithdrawn);
    return gained;
  }
  MESH_CHECK(group.leader->is_leader() && group.leader->backing() == group.to);
  group.leader->Adopt(span);
  return gained + 1;
}

MeshResult Mesher::Run() {
  MeshResult result;
  touched_ = move_count_;
  if (move_count_ == 0) return result;
  result.barrier_failed = !barrier_.Begin({ranges_, move_count_}, {windows_, move_count_});
  if (!result.barrier_failed) {
    PrepareNewGroups();
    for (uint32_t i = 0; i < move_count_; i++) {
      if (!barrier_.is_excluded(i)) CopyObjects(moves_[i].span, groups_[moves_[i].group].to);
    }
    for (uint32_t i = 0; i < move_count_; i++) {
      // The kernel may be storing into it, past every protection.
      if (barrier_.is_excluded(i)) continue;
      if (!Show(moves_[i])) {
        result.moves_failed++;
        continue;
      }
      barrier_.MarkRemapped(i);
      moves_[i].done = true;
    }
    barrier_.Finish();
  }
  // Bookkeeping comes after the barrier: writers have waited long enough.
  for (uint32_t i = 0; i < move_count_; i++) {
    const MiniHeap& span = *moves_[i].span;
    int64_t edges = CountEdges(span, span.backing());
    if (moves_[i].done) {
      if (!span.is_backed()) result.pages_backed += groups_[moves_[i].group].pages;
      int32_t gained = Settle(moves_[i]);
      result.members_gained += gained;
      result.pages_gained += gained * static_cast<int32_t>(groups_[moves_[i].group].pages);
    }
    budget_.Adjust(CountEdges(span, span.backing()) - edges - moves_[i].mappings);
  }
  DropWindowOf(groups_, group_count_);
  ReleaseUnused();
  if (result.members_gained > 0) {
    result.spans_freed = static_cast<uint32_t>(result.members_gained);
    result.pages_freed = static_cast<uint32_t>(result.pages_gained);
  }
  move_count_ = 0;
  group_count_ = 0;
  return result;
}

// Pages that were taken for a group none of whose spans could be moved.
void Mesher::ReleaseUnused() {
  for (uint32_t i = 0; i < group_count_; i++) {
    if (groups_[i].is_new && groups_[i].leader == nullptr) {
      backing_.Free(groups_[i].to, groups_[i].pages);
    }
  }
}

// The window has served its turn; without this RSS counts its view of the pages as well.
void Mesher::DropWindowOf(const Group* groups, uint32_t count) {
  BackingPage first = kNoBackingPage;
  BackingPage last = 0;
  for (uint32_t i = 0; i < count; i++) {
    if (groups[i].to < first) first = groups[i].to;
    if (groups[i].to + groups[i].pages - 1 > last) last = groups[i].to + groups[i].pages - 1;
  }
  if (first <= last) backing_.DropWindow(first, last);
}

uint32_t Mesher::Fold(std::span<MiniHeap* const> spans) {
  MESH_DCHECK(is_empty() && spans.size() <= kMaxMoves);
  uint32_t count = static_cast<uint32_t>(spans.size());
  for (uint32_t i = 0; i < count; i++) {
    ranges_[i] = {spans[i]->address(), spans[i]->length()};
    windows_[i] = backing_.WindowOf(*spans[i]);
    groups_[i] = {spans[i]->backing(), spans[i]->pages(), nullptr, false};
  }
  if (count == 0 || !barrier_.Begin({ranges_, count}, {windows_, count})) return 0;
  uint32_t folded = 0;
  for (uint32_t i = 0; i < count; i++) {
    if (barrier_.is_excluded(i)) continue;
    CopyObjects(spans[i], spans[i]->backing());
    // A fresh view drops the copies. Dropping pages alone would leave their write protection
    // behind.
    if (!backing_.Show(groups_[i].to, groups_[i].pages, ranges_[i].address).ok()) continue;
    barrier_.MarkRemapped(i);
    folded++;
  }
  barrier_.Finish();
  DropWindowOf(groups_, count);
  return folded;
}

}  // namespace mesh
