// Compactor: decides when and what to mesh, a size class at a time, in batches.
//
//   withdraw   spans leave the lists of their class         class lock, short
//   plan       which of them share a physical span          no lock
//   mesh       a batch of groups after the other            class lock, one batch long
//   restore    what is left goes back                       class lock, short
//
// Room: global; above meshing. Locks: kMesh for a whole pass (one compactor at a time), the class's
// as above. Allocates nothing from the heap; its scratch memory is mapped once and emptied.
//
// [C1] A thread that allocates or frees waits for one batch at most.
// [C2] No pass runs on a stack that lies in the heap: its own stores would wait for itself.
#pragma once

#include <atomic>
#include <cstdint>
#include <span>

#include "src/base/mutex.h"
#include "src/config/limits.h"
#include "src/global/size_class_heap.h"
#include "src/meshing/mesher.h"

namespace mesh {

struct CompactorStatistics {
  uint64_t passes = 0;
  uint64_t spans_meshed = 0;      // physical spans freed by meshing so far
  uint64_t pages_meshed = 0;      // their pages
  uint64_t pages_folded = 0;      // copies of meshed pages that were folded back
  uint64_t pages_saved_peak = 0;  // most pages that meshing saved at one time
  uint64_t mappings_refused = 0;  // passes that the mapping budget cut short
  uint64_t moves_failed = 0;      // aliases that the kernel refused
  uint64_t barrier_failed = 0;    // batches for which no barrier could be raised
  uint64_t longest_pause_ns = 0;
  uint64_t pauses[kPauseBuckets] = {};  // [i]: 2^(i-1) to 2^i microseconds
};

// How much one pass may do.
struct PassLimits {
  uint64_t deadline_ns = UINT64_MAX;  // monotonic; a batch that has begun is finished
  uint32_t least_batches = 1;         // of one class, whatever the deadline
  uint64_t tests_per_class = 0;       // bitmap tests
  bool every_class = false;           // also those where nothing has changed since the last pass
  bool look_again = false;  // what was looked at counts as changed: a longer look may find more
};

class Compactor {
 public:
  Compactor(std::span<SizeClassHeap> heaps, Arena& arena, Mesher& mesher, WriteBarrier& barrier,
            MappingBudget& budget)
      : heaps_(heaps), arena_(arena), mesher_(mesher), barrier_(barrier), budget_(budget) {}

  // Mappings are made with fork(2) in mind ([MB2]); before first use.
  void set_spares_forks(bool spares) { spares_forks_ = spares; }

  // Meshes what it finds within the limits; goes on with the class where the last pass stopped.
  // Returns: physical bytes freed. 0 when another pass runs and `wait` is false, or a fork is about
  // to come.
  size_t Run(const PassLimits& limits, bool wait);

  // Folds back what stores have copied out of the backing (private views), class by class, until
  // the deadline; goes on where the last call stopped. Returns: pages saved; 0 when another thread
  // is at work and `wait` is false.
  uint32_t Fold(uint64_t deadline_ns, bool wait);

  // No further pass in this process: its system calls would kill it. Any thread, without a lock.
  void Stop() {
    // order: relaxed; the caller's own passes must not come any more, and it has stored this
    // itself.
    is_stopped_.store(true, std::memory_order_relaxed);
  }
  bool is_stopped() const {
    // order: relaxed; see Stop().
    return is_stopped_.load(std::memory_order_relaxed);
  }

  // Until as many Resume() as HoldLocked() no pass does anything: a fork is about to come, and what
  // is meshed now would have to be separated again, when the fork cannot fail any more.
  void HoldLocked() REQUIRES(lock_) { holds_++; }
  void Resume();
  // In a fork's child: the threads that held passes up are not here.
  void ForgetHoldsLocked() REQUIRES(lock_) { holds_ = 0; }

  CompactorStatistics statistics();
  Mutex& lock() { return lock_; }

 private:
  friend struct WindowLayout;  // tells other processes where the figures lie
  // Spans looked at in one go; more of them wait for the next.
  static constexpr uint32_t kMaxCandidates = 1 << 16;

  // Spans that a batch moves before it is long enough: about a millisecond under the class's lock.
  // (A last group of many spans may make it longer.)
  static constexpr uint32_t kMovesPerBatch = 32;

  // Mappings that have become private again before the segments are registered anew: until then
  // each stays a mapping of its own.
  static constexpr uint64_t kCoverAfter = 1024;

  struct Scratch {
    MiniHeap* leaders[kMaxCandidates];
    MiniHeap* sorted[kMaxCandidates];  // by group
    uint32_t keys[kMaxCandidates];     // ids of the leaders: they rise with the addresses
    Bitmap bits[kMaxCandidates];
    Bitmap group_bits[kMaxCandidates];
    uint32_t order[kMaxCandidates];
    uint32_t group[kMaxCandidates];
    uint32_t group_count[kMaxCandidates];
    uint32_t members[kMaxCandidates];
    uint16_t counts[kMaxCandidates];
  };

  bool Enter(bool wait) TRY_ACQUIRE(true, lock_);
  bool PrepareLocked() REQUIRES(lock_);
  void RefreshBudgetLocked() REQUIRES(lock_);
  bool MayMoveLocked(const SizeClassInfo& info) const REQUIRES(lock_);
  void CoverSegmentsLocked() REQUIRES(lock_);
  uint32_t CompactClassLocked(SizeClassHeap& heap, uint32_t units, const PassLimits& limits)
      REQUIRES(lock_);
  uint32_t PlanLocked(SlotIndex slots, uint32_t count, uint64_t tests) REQUIRES(lock_);
  uint32_t MeshGroupsLocked(SizeClassHeap& heap, uint32_t groups, const PassLimits& limits)
      REQUIRES(lock_);
  void NoteSavedLocked() REQUIRES(lock_);
  void NotePauseLocked(uint64_t ns) REQUIRES(lock_);

  Mutex lock_{LockRank::kMesh};
  std::atomic<bool> is_stopped_{false};
  bool spares_forks_ = false;
  bool has_long_spans_ GUARDED_BY(lock_) = false;
  std::span<SizeClassHeap> heaps_;
  Arena& arena_;
  Mesher& mesher_;
  WriteBarrier& barrier_;
  MappingBudget& budget_;
  Scratch* scratch_ GUARDED_BY(lock_) = nullptr;
  uint32_t holds_ GUARDED_BY(lock_) = 0;
  size_t covered_bytes_ GUARDED_BY(lock_) = 0;
  uint32_t covered_epoch_ GUARDED_BY(lock_) = 0;
  uint64_t covered_given_ GUARDED_BY(lock_) = 0;
  size_t next_class_ GUARDED_BY(lock_) = 0;
  size_t fold_class_ GUARDED_BY(lock_) = 0;
  SpanId fold_cursor_ GUARDED_BY(lock_) = kNoSpan;
  CompactorStatistics statistics_ GUARDED_BY(lock_);
};

}  // namespace mesh
