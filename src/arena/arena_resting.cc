// The rest of the Arena's freed large objects, for hardened heaps: their addresses stay without
// access for a while. Their memory need not: pages that are fresh from the kernel cost ten times
// what moving and clearing them costs.
//
//   addresses   | resting, without access | ...  | a new object |
//   memory                  `--------- moves --------^
#include <errno.h>

#include <algorithm>

#include "src/arena/arena.h"
#include "src/base/check.h"
#include "src/os/memory.h"

namespace mesh {
namespace {

size_t BytesOf(PageCount pages) { return size_t{pages} << kPageShift; }

}  // namespace

bool Arena::RestLocked(SpanId id, const LargeObject& object, bool is_empty) {
  const PageCount most = segment_pages_ / 2;
  const PageCount pages = object.pages;
  const PageCount guards = object.guard_pages > 0 ? 1 + object.guard_pages : 0;
  if (pages + guards > most / 4) return false;
  Resting resting{{guards > 0 ? id - 1 : id, pages + guards}, id, 0};
  const uintptr_t address = PageMap::AddressOf(resting.run.id);
  bool is_shut = !is_empty && RestWarmLocked(id, object, &resting);
  if (!is_shut) {
    is_shut = os::Decommit(address, BytesOf(resting.run.pages)).ok();
    // A part may be shut; what cannot be opened again is lost.
    if (!is_shut && ProtectPages(id, pages, true)) return false;
  }
  MarkRestingLocked(id, object);
  if (!is_shut) return true;
  while (resting_count_ == kMostResting || resting_pages_ + resting.run.pages > most) {
    WakeLocked(random_.Below(resting_count_));
  }
  resting_[resting_count_++] = resting;
  resting_pages_ += resting.run.pages;
  warm_pages_ += resting.warm;
  return true;
}

void Arena::MarkRestingLocked(SpanId id, const LargeObject& object) {
  const bool is_guarded = object.guard_pages > 0;
  const PageCount pages = object.pages;
  if (is_guarded) guarded_[false]--;
  PageMap::ClearLarge(id, pages);
  MarkReserved(is_guarded ? id - 1 : id, PageEntry::kResting);
  MarkReserved(id + pages + object.guard_pages - 1, PageEntry::kResting);
}

// What is moved at once is one mapping: of two, the longer one's memory stays. How many there are
// in an object that has moved itself, nobody knows.
bool Arena::RestWarmLocked(SpanId id, const LargeObject& object, Resting* resting) {
  const PageCount pages = object.pages;
  const PageCount first = object.warmed;
  const PageCount second = pages - std::min(first, pages);
  const PageCount warm = std::max(first, second);
  const PageCount cold = first + second - warm;
  if (warm < kShortestWarm || warm > kLongestWarm || (first == 0 && object.moved)) return false;
  CoolDownTo(kMostWarm - warm);
  if (!ProtectPages(id, pages, false)) return false;
  resting->warm_id = warm == first ? id : id + first;
  const SpanId cold_id = warm == first ? id + first : id;
  if (cold > 0 && !os::ReleasePages(PageMap::AddressOf(cold_id), BytesOf(cold)).ok()) return false;
  resting->warm = warm;
  return true;
}

// Those that came last are the likeliest to be of a length that is asked for.
void Arena::CoolDownTo(PageCount keep) {
  for (uint32_t i = 0; i < resting_count_ && warm_pages_ > keep; i++) CoolLocked(i);
}

void Arena::CoolLocked(uint32_t index) {
  Resting& resting = resting_[index];
  if (resting.warm == 0) return;
  static_cast<void>(os::ReleasePages(PageMap::AddressOf(resting.warm_id), BytesOf(resting.warm)));
  warm_pages_ -= resting.warm;
  resting.warm = 0;
}

// Makes the index-th of those that rest a free run. One that the kernel keeps shut is lost.
void Arena::WakeLocked(uint32_t index) {
  const Resting resting = resting_[index];
  resting_[index] = resting_[--resting_count_];
  resting_pages_ -= resting.run.pages;
  warm_pages_ -= resting.warm;
  const Run run = resting.run;
  // Marks go with what was mapped there.
  if (!os::MapPrivateFixed(PageMap::AddressOf(run.id), BytesOf(run.pages)).ok()) return;
  PageMap::ClearLarge(run.id, run.pages);
  large_runs_.Give(run.id, run.pages, false);
}

// The shortest that is long enough; else the longest. *is_lost: the pages cannot be used.
PageCount Arena::TakeWarmLocked(SpanId id, PageCount pages, PageCount room, bool* is_lost) {
  Resting* best = nullptr;
  if (warm_pages_ == 0 || warmed_ == kMostGuarded) return 0;
  // What is longer would not rest with memory, and is what others are moved to as they grow.
  if (pages < kShortestWarm || pages > kLongestWarm) return 0;
  PageCount wanted = pages;
  // Elsewhere guards are mappings, which have a limit.
  if (can_mark_ && warm_room_ < kMostWarmRoom) {
    wanted += std::min({room, pages, kMostWarmRoom - warm_room_});
  }
  wanted = std::min(wanted, kLongestWarm);
  for (uint32_t i = 0; i < resting_count_; i++) {
    Resting& resting = resting_[i];
    if (resting.warm < kShortestWarm) continue;
    const bool is_enough = best != nullptr && best->warm >= wanted;
    const bool is_better = is_enough ? resting.warm >= wanted && resting.warm < best->warm
                                     : best == nullptr || resting.warm > best->warm;
    if (is_better) best = &resting;
  }
  if (best == nullptr) return 0;
  const PageCount moved = std::min(best->warm, wanted);
  const uintptr_t from = PageMap::AddressOf(best->warm_id);
  const uintptr_t to = PageMap::AddressOf(id);
  // The program may have cut it by madvise. A move of one mapping has nothing to undo.
  os::MoveOutcome outcome{{EFAULT}};
  if (os::IsOneMapping(from, BytesOf(moved))) {
    outcome = os::MovePagesKeepSource(from, BytesOf(moved), to);
  }
  if (!outcome.ok()) {
    // What was mapped anew has no marks.
    *is_lost = outcome.has_hole || (moved > pages && !ShutLocked(id + pages, moved - pages, true));
    CoolLocked(static_cast<uint32_t>(best - resting_));
    return 0;
  }
  best->warm -= moved;
  best->warm_id += moved;
  warm_pages_ -= moved;
  const PageCount opened = std::min(moved, pages);
  *is_lost = !ProtectPages(id, opened, true) && !os::MapPrivateFixed(to, BytesOf(opened)).ok();
  return moved;
}

}  // namespace mesh
