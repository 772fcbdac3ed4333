// MappingBudget: how many more mappings meshing may make.
//
// An alias costs up to two mappings (it splits its neighbours), and the kernel gives a process
// vm.max_map_count of them, for the program's own needs too. The count kept here follows what spans
// show at their edges (CountEdges); Refresh() replaces it by the kernel's own when it comes near
// the limit. Room: meshing; above os. Thread rule: one thread at a time, that which holds kMesh,
// but Give() and the getters.
//
// [MB1] Meshing never brings the process above 7/8 of max_map_count; and leaves room for twice as
//       many mappings as the program itself has had at the last count, but no more than 1/4; of
//       which making groups anew may take half, until that brings some back.
// [MB2] Where forks are expected, meshing makes so few that fork(2), which copies each of them and
//       each page's entry, takes at most about twice as long as without meshing.
#pragma once

#include <atomic>
#include <cstdint>

namespace mesh {

class MappingBudget {
 public:
  // Mappings that one more alias over private memory may cost: itself and the cut-off neighbour.
  static constexpr int64_t kPerAlias = 2;

  constexpr MappingBudget() = default;

  // Called at the start of a pass: asks the kernel when there is no count yet, or when the bound
  // has come so near to the limit that the true count matters.
  void Refresh() { Refresh(kNoForks, 0); }
  // The same where forks are expected: the heap has `pages` pages of addresses, of which
  // `meshed_pages` are served by the memory of others; [MB2].
  void Refresh(int64_t pages, int64_t meshed_pages);
  // Takes `count` mappings out of the budget. False when that many are not left. `for_a_while`: by
  // who is about to bring back as many; they may be above the limit.
  bool Take(int64_t count, bool for_a_while = false);
  // What was taken has come to `change` mappings more than that, or fewer.
  void Adjust(int64_t change);
  // An alias has become private memory again, which ends `count` mappings (or makes some: it may
  // have been in the middle of one).
  void Give(int64_t count);

  // Aliases that have become private again since the start.
  uint64_t given() const;

  // Mappings of the process, and room below the limit.
  int64_t used() const;
  int64_t left() const { return limit() > used() ? limit() - used() : 0; }
  // Where used() has to stay: the less of [MB1] and [MB2].
  int64_t limit() const {
    // order: relaxed; set once, publishes nothing.
    return limit_.load(std::memory_order_relaxed);
  }
  // Of these, all that are not the program's own, by the last count.
  int64_t for_meshing() const { return limit() > others_ ? limit() - others_ : 0; }
  // A Take() was refused since the last Refresh(): the limit is what holds compaction back.
  bool is_exhausted() const {
    // order: relaxed; a hint for who is not the one thread, publishes nothing.
    return exhausted_.load(std::memory_order_relaxed);
  }

 private:
  friend struct WindowLayout;  // tells other processes where the figures lie
  // vm.max_map_count where /proc does not say: the kernel's default.
  static constexpr int64_t kDefaultMaxMapCount = 65530;

  static constexpr int64_t kNoForks = INT64_MAX;
  // What a mapping costs at fork(2) and at the child's end, in pages of private memory, which cost
  // 0.1 and 0.1 us: measured 0.8 to 1.4, and 1.0 to 1.3 us.
  static constexpr int64_t kPagesPerMapping = 8;
  // As many may be made whatever the heap's size: some milliseconds at a fork.
  static constexpr int64_t kAlways = 8192;

  // The parts of max_map_count that are left to the program: so many times what it has, and no more
  // and no less than a share.
  static constexpr int64_t kSpareTimes = 2;
  static constexpr int64_t kLeastSpare = 8;
  static constexpr int64_t kMostSpare = 4;
  // The part of what is left to the program that may be taken for a while.
  static constexpr int64_t kLent = 2;

  int64_t spare() const;
  void SetLimit(int64_t pages, int64_t meshed_pages);
  bool MustCount() const;
  void SetExhausted(bool exhausted) {
    // order: relaxed; see is_exhausted().
    exhausted_.store(exhausted, std::memory_order_relaxed);
  }

  std::atomic<int64_t> limit_{0};
  std::atomic<int64_t> used_{0};
  std::atomic<uint64_t> given_{0};  // aliases
  std::atomic<uint64_t> taken_{0};  // mappings
  int64_t maximum_ = 0;             // max_map_count; 0 before the first count
  int64_t others_ = 0;              // of the program itself, at the last count
  bool knows_others_ = false;       // not without /proc
  int64_t counted_ = 0;             // used_ at the last count
  uint64_t changes_at_count_ = 0;   // taken_ + given_ then
  std::atomic<bool> exhausted_{false};
};

}  // namespace mesh
