// Mesher: the mesh operation. Moves the objects of several spans into one physical span, and points
// the virtual spans at it, with undo at every step.
//
//   before   A [a . . a]   B [. b . .]   C [. . c .]      three physical spans
//   after    A, B, C -> backing [a b c a]                 one; no pointer has changed
//
// A batch: Add() plans the moves of one group each, Run() carries out all of them under one write
// barrier: protect, copy, show, wake.
// Room: meshing; above miniheap, os. Locks: the size class's lock of all spans is held, and kMesh;
// takes kBacking. Allocates nothing. Other threads may read and write the objects all the while:
// writers to a span that moves wait in the barrier.
// Source: PLDI'19 s.4.5; groups, private memory and the barrier's tiers: docs/design.md.
//
// [ME1] A move that fails leaves its span as it was: same memory, writable, in its old group.
// [ME2] No store to a live object is lost or fails.
#pragma once

#include <cstdint>
#include <span>

#include "src/meshing/backing.h"
#include "src/meshing/barrier.h"
#include "src/meshing/mapping_budget.h"
#include "src/miniheap/mini_heap.h"

namespace mesh {

struct MeshResult {
  // Members more than before; fewer where a move that was refused has split a group.
  int32_t members_gained = 0;
  int32_t pages_gained = 0;     // their pages
  uint32_t spans_freed = 0;     // physical spans not needed any more
  uint32_t pages_freed = 0;     // their pages
  uint32_t pages_backed = 0;    // of spans whose memory was private before
  uint32_t moves_failed = 0;    // spans that the kernel refused to alias
  bool barrier_failed = false;  // nothing was done: no barrier could be raised
};

class Mesher {
 public:
  Mesher(Backing& backing, WriteBarrier& barrier, MappingBudget& budget)
      : backing_(backing), barrier_(barrier), budget_(budget) {}
  Mesher(const Mesher&) = delete;
  Mesher& operator=(const Mesher&) = delete;

  // Virtual spans that one batch moves at most.
  static constexpr uint32_t kMaxMoves = WriteBarrier::kMaxRanges;

  // Plans to mesh the groups led by `leaders` (of one size class and length, no slot set in two of
  // them, all withdrawn) into one; a single one moves to new pages of the backing. False when the
  // batch has no room for it, or memory or mappings are not to be had; then nothing is planned.
  bool Add(std::span<MiniHeap* const> leaders);

  // Plans to take `span` out of its group, and into that of `target` (in the backing, which can
  // show it; no slot set in both; both groups withdrawn), or, where that is null, to new pages of
  // the backing. False as above, but that it may take mappings for a while; and where the batch
  // adds to the span's group, or adds to the target or takes from it, already.
  bool AddOne(MiniHeap* span, MiniHeap* target);
  // Whether AddOne() may be called. Slots that a span leaves behind are not as SlotGuard wants
  // them, [SG2]; and private views are folded as groups.
  bool MaySplitGroups() const;

  // Carries out what is planned, and forgets it. Afterwards every span that was part of it is in
  // exactly one group, whose leader is withdrawn: ForEachTouched() visits them.
  // Cost: two system calls a moved span, and copying its live objects.
  MeshResult Run();

  // Writes the objects of `spans` (at most kMaxMoves; private views, Backing::CanFold()) back to
  // the backing and drops the copies that stores have made of its pages: the other way round of
  // copy on write. Nothing may be planned. Returns: spans folded.
  uint32_t Fold(std::span<MiniHeap* const> spans);

  // Calls visit(MiniHeap*) for every span that the last Run() was to move, and for those that lead
  // what one has left behind.
  template <typename Visit>
  void ForEachTouched(Visit visit) {
    for (uint32_t i = 0; i < touched_; i++) {
      visit(moves_[i].span->leader());
      if (moves_[i].left != nullptr) visit(moves_[i].left);
    }
  }

  bool is_empty() const { return move_count_ == 0; }
  // Spans that Run() would move.
  uint32_t planned() const { return move_count_; }

 private:
  struct Move {
    MiniHeap* span;
    MiniHeap* left;  // leads the rest of the group that the span led, if there is one
    uint32_t group;
    uint8_t mappings;  // that were taken from the budget for it
    bool done;
  };
  struct Group {
    BackingPage to;
    PageCount pages;
    MiniHeap* leader;  // of what is at `to` already; null while nothing is
    bool is_new;
  };

  MiniHeap* ChooseKeeper(std::span<MiniHeap* const> leaders) const;
  bool TakesFrom(const MiniHeap* leader) const;
  bool AddsTo(const MiniHeap* leader) const;
  bool BeginGroup(MiniHeap* keeper, PageCount pages, int64_t mappings);
  void AddMove(MiniHeap* span);
  void PrepareNewGroups();
  void CopyObjects(const MiniHeap* span, BackingPage to);
  bool Show(const Move& move);
  int32_t Settle(Move& move);
  void ReleaseUnused();
  void DropWindowOf(const Group* groups, uint32_t count);

  Backing& backing_;
  WriteBarrier& barrier_;
  MappingBudget& budget_;
  Move moves_[kMaxMoves];
  Range ranges_[kMaxMoves];
  uintptr_t windows_[kMaxMoves];
  Group groups_[kMaxMoves];
  uint32_t move_count_ = 0;
  uint32_t group_count_ = 0;
  uint32_t touched_ = 0;
};

}  // namespace mesh
