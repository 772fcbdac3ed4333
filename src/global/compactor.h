// Compactor: decides when and what to mesh, a size class at a time, in slices.
//
//   survey   which spans of the class have room       class lock, a few spans at a time
//   plan     which of them share a physical span      no lock that another thread needs
//   mesh     a batch of groups after the other        kMesh and the class lock, for one batch
//
// All spans stay in use from the survey to their batch. There, what no longer fits is left out, so
// that a plan may wait for the next slice, or become worse than possible, but never wrong.
// Where mappings are scarce, a plan may be for each span by itself, whatever group it is in.
// Room: global; above meshing. Locks: kPass for a whole pass (one at a time; a fork does not wait
// for it), kMesh and the class's as above. Allocates nothing from the heap; its scratch memory is
// mapped once and emptied.
//
// [C1] A thread that allocates or frees while a batch has the class goes another way
//      (SizeClassHeap::kBusy, PendingFrees). Who has none waits for one batch at most, and comes
//      before the next. Batches are sized by how long the last ones took.
// [C2] No pass runs on a stack that lies in the heap: its own stores would wait for itself.
#pragma once

#include <atomic>
#include <cstdint>
#include <span>

#include "src/base/mutex.h"
#include "src/base/wait_meter.h"
#include "src/config/limits.h"
#include "src/global/size_class_heap.h"
#include "src/meshing/group_packer.h"
#include "src/meshing/mesher.h"
#include "src/meshing/run_packer.h"
#include "src/meshing/run_planner.h"

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
  // Batches: how long each class was locked for one.
  uint64_t longest_pause_ns = 0;
  uint64_t pauses[kPauseBuckets] = {};  // [i]: 2^(i-1) to 2^i microseconds
  // Threads: how long each that found a class locked by a batch waited for it; nothing, if it went
  // another way.
  uint64_t longest_wait_ns = 0;
  uint64_t waits[kPauseBuckets] = {};
};

// What a pass came to.
struct PassResult {
  size_t freed = 0;          // physical bytes
  bool is_complete = false;  // every class was looked at to its end, as far as the limits let it be
  bool is_limited = false;   // with more mappings, more could have been meshed
  // Something was left alone for `keeps_recent`: the next pass may take it, one without that will.
  bool has_kept = false;
};

// How much one pass may do.
struct PassLimits {
  uint64_t deadline_ns = UINT64_MAX;  // monotonic; a batch that has begun is finished
  uint64_t looks_per_class = 0;       // of a plan (GroupPacker)
  bool every_class = false;           // also those where nothing has changed since the last pass
  bool look_again = false;  // what was looked at counts as changed: a longer look may find more
  // The program is at work. Free pages of classes that are never meshed stay for a pass; and
  // classes that are dense stay out of it, unless one is under way in them.
  bool keeps_recent = false;
  uint16_t program_heap = 0;  // if not 0: its classes alone
  // Between two steps other threads have the processor first: none of the program's waits for more
  // than a step of ours, and a batch begins when its time on the processor does, so that it is
  // seldom broken off with its locks held. For a thread that nobody waits for.
  bool gives_way = false;
};

class Compactor {
 public:
  // `heaps`: the classes of the main heap; `program_classes`: those of the program's.
  Compactor(std::span<SizeClassHeap> heaps, const ProgramClassList& program_classes, Arena& arena,
            Mesher& mesher, WriteBarrier& barrier, MappingBudget& budget);

  // Mappings are made with fork(2) in mind ([MB2]); before first use.
  void set_spares_forks(bool spares) { spares_forks_ = spares; }

  // Meshes what it finds within the limits; goes on where the last pass stopped, in the middle of
  // a plan if need be. Nothing is done when `wait` is false and another thread is at work, or when
  // a fork is about to come.
  PassResult Run(const PassLimits& limits, bool wait);

  // Folds back what stores have copied out of the backing (private views), class by class, until
  // the deadline; goes on where the last call stopped. Of the limits, the deadline and gives_way
  // count. Returns: pages saved; 0 when another thread is at work and `wait` is false.
  uint32_t Fold(const PassLimits& limits, bool wait);

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
  // In a fork's child: the threads that held passes up, or were in one, are not here.
  void AfterForkInChildLocked() REQUIRES(lock_);

  CompactorStatistics statistics();
  Mutex& lock() { return lock_; }

 private:
  friend struct WindowLayout;  // tells other processes where the figures lie

  // Spans looked at in one go; more of them wait for the next.
  static constexpr uint32_t kMaxCandidates = 1 << 16;

  // How long a batch should take under the class's lock: a fifth of what a thread may wait, as one
  // in a thousand takes four times as long (interrupts, other programs).
  static constexpr uint64_t kBatchNs = 200'000;
  // A span that moves costs as much as this many pages to copy, whatever its length; and what a
  // batch holds at first, at least and at most, in pages.
  static constexpr uint32_t kMoveWeight = 4;
  static constexpr uint32_t kFirstBatch = 50;
  static constexpr uint32_t kLeastBatch = 2 * (kMoveWeight + 1);
  static constexpr uint32_t kLargestBatch = 1024;

  // Looks of a step (GroupPacker): about 150 us.
  static constexpr uint64_t kLooksPerStep = 1 << 16;

  // Virtual spans that one group may have: with each, a free slot of the group costs a longer walk.
  static constexpr uint32_t kMaxGroupMembers = 64;

  static constexpr int64_t kUnpriced = -1;
  static constexpr double kUnknown = -1;

  // Spans that have become private again before the segments are registered anew: until then each
  // stays a mapping of its own.
  static constexpr uint64_t kCoverAfter = 512;

  struct Scratch {
    Candidate found[kMaxCandidates];
    SpanId ids[kMaxCandidates];     // of the spans, or frames, that a plan is made for
    SpanId sorted[kMaxCandidates];  // by group
    Bitmap bits[kMaxCandidates];
    Bitmap group_bits[kMaxCandidates];
    uint32_t order[kMaxCandidates];
    uint32_t group[kMaxCandidates + 1];
    uint32_t group_count[kMaxCandidates];
    uint32_t members[kMaxCandidates];
    uint16_t counts[kMaxCandidates];
    PackerBlock blocks[kMaxCandidates / PackerBlock::kColumns];
    uint8_t joined[kMaxCandidates];         // of RunArrays
    uint64_t rows[4][kMaxCandidates / 64];  // of RunRows
    MeshDemand demands[kClassCount];
    MeshDemand demands_anew[kClassCount];
  };

  // Where a pass stands in a class; between passes too.
  struct Progress {
    SizeClassHeap* heap = nullptr;  // null: in none
    bool is_trimming = false;       // it is one that is never meshed
    bool has_kept = false;          // pages of it, for the next pass
    bool each = false;              // its groups are planned anew, each span for itself
    SpanId cursor = kNoSpan;        // of the survey
    bool is_surveyed = false;       // to the end
    uint32_t found = 0;             // candidates
    uint32_t units = 0;             // length of the spans that are planned for
    uint32_t count = 0;             // of them
    uint32_t leaders = 0;        // if not 0: the plan is made in runs, and the first so many lead
    bool is_packing = false;     // the plan is being made
    bool was_brief = false;      // a plan was made that a longer look may improve
    bool may_mesh_rest = false;  // with mappings that others have left
    PackProgress packing;
    RunProgress runs;
    uint32_t groups = 0;  // of the plan
    uint32_t next = 0;    // first step of the plan that is not done
    uint32_t owed = 0;    // pages that groups planned anew have taken, and not yet given back

    // Steps of the plan: groups, or spans.
    uint32_t steps() const { return each && groups > 0 ? count : groups; }
  };

  template <typename Visit>
  void ForEachHeap(Visit visit) const {
    for (SizeClassHeap& heap : heaps_) visit(heap);
    program_classes_.ForEach(visit);
  }
  // The class that a pass begins with, and that comes after another, round all heaps: from the
  // largest objects down. Spans of those save most for a mapping; where the estimates of what
  // mappings are needed for are wrong, the last to come should be whom it costs least.
  SizeClassHeap* First() const { return &heaps_.back(); }
  SizeClassHeap* After(SizeClassHeap* heap) const;
  size_t heap_count() const { return heaps_.size() + program_classes_.size(); }
  // Pages that a mapping has to save in the class, or 0. Mappings are shared out to the main heap's
  // classes; those of program heaps are meshed span by span.
  double PriceOf(const SizeClassHeap& heap) const REQUIRES(pass_lock_) {
    return heap.program_heap() != 0 ? 0 : price_;
  }

  bool Enter(bool wait) TRY_ACQUIRE(true, lock_);
  bool is_awaited() const {
    // order: relaxed; see EnterPass().
    return waiting_.load(std::memory_order_relaxed) > 0;
  }
  bool EnterPass(bool wait) TRY_ACQUIRE(true, pass_lock_);
  bool PrepareLocked() REQUIRES(pass_lock_, lock_);
  void RefreshBudgetLocked() REQUIRES(lock_);
  void SetPrice() REQUIRES(pass_lock_);
  bool IsWorthPrice(const SizeClassHeap& heap) const REQUIRES(pass_lock_);
  void SetPriceAnew() REQUIRES(pass_lock_);
  bool IsWorthPlanningAnew(SizeClassHeap& heap, uint64_t in_use) REQUIRES(pass_lock_);
  bool MayMove(const SizeClassInfo& info) const;
  void CoverSegmentsLocked() REQUIRES(lock_);
  void LetOthersIn() const;
  void BeginClass(const PassLimits& limits, PassResult* result) REQUIRES(pass_lock_);
  bool BeginTrim(SizeClassHeap& heap, const PassLimits& limits) REQUIRES(pass_lock_);
  static bool IsDense(SizeClassHeap& heap, const SizeClassStatistics& statistics);
  bool Step(const PassLimits& limits, bool wait, PassResult* result) REQUIRES(pass_lock_);
  void Trim(bool keeps_recent, PassResult* result) REQUIRES(pass_lock_);
  void Survey() REQUIRES(pass_lock_);
  void BeginPlan() REQUIRES(pass_lock_);
  void AddCandidate(const Candidate& candidate) REQUIRES(pass_lock_);
  void Arrange() REQUIRES(pass_lock_);
  uint32_t ListByKind(uint32_t* groups) REQUIRES(pass_lock_);
  uint32_t CountLeadersAnew(const SpanDemand& demand) REQUIRES(pass_lock_);
  void PutCostlyFirst() REQUIRES(pass_lock_);
  uint32_t CountEdgesBefore(uint32_t i) const REQUIRES(pass_lock_);
  // Whether the span counts as one with private memory.
  bool IsPlain(const Candidate& span) const REQUIRES(pass_lock_) {
    return progress_.each || span.backing == kNoBackingPage;
  }
  uint32_t RankStretches(uint32_t first, uint32_t end) REQUIRES(pass_lock_);
  bool IsJoined(const Candidate& before, const Candidate& span, bool leads) const
      REQUIRES(pass_lock_);
  void Plan(uint64_t looks) REQUIRES(pass_lock_);
  void SortPlan() REQUIRES(pass_lock_);
  bool MeshBatch(bool wait, PassResult* result) REQUIRES(pass_lock_);
  uint32_t MovesPerBatch() const REQUIRES(pass_lock_);
  void AddGroups(Gathered* gathered) REQUIRES(pass_lock_);
  void AddSpans(Gathered* gathered) REQUIRES(pass_lock_);
  void PayBack(MeshResult* result) REQUIRES(pass_lock_);
  void NoteBatchLocked(const MeshResult& result) REQUIRES(lock_);
  void NotePass(bool is_limited);
  void NotePauseLocked(uint64_t ns) REQUIRES(lock_);
  void AdaptBatch(uint64_t ns, uint32_t moves) REQUIRES(pass_lock_);

  Mutex pass_lock_{LockRank::kPass};
  std::atomic<uint32_t> waiting_{0};  // threads that want a pass of their own
  Mutex lock_{LockRank::kMesh};
  std::atomic<bool> is_stopped_{false};
  bool spares_forks_ = false;
  bool has_long_spans_ GUARDED_BY(lock_) = false;
  uint32_t mapping_wealth_ GUARDED_BY(lock_) = 1;
  std::span<SizeClassHeap> heaps_;
  const ProgramClassList& program_classes_;
  Arena& arena_;
  Mesher& mesher_;
  WriteBarrier& barrier_;
  MappingBudget& budget_;
  WaitMeter meter_;
  Scratch* scratch_ GUARDED_BY(pass_lock_) = nullptr;
  Progress progress_ GUARDED_BY(pass_lock_);
  // Pages that a mapping has to save; 0: there are enough for every span.
  double price_ GUARDED_BY(pass_lock_) = 0;
  int64_t priced_left_ GUARDED_BY(pass_lock_) = kUnpriced;  // mappings that were left then
  // The same if all groups of all classes were planned anew, with all mappings for them.
  double price_anew_ GUARDED_BY(pass_lock_) = kUnknown;
  // Of each class: most slots in use since its groups were last planned anew.
  uint64_t most_in_use_[kClassCount] GUARDED_BY(pass_lock_) = {};
  uint32_t batch_pages_ GUARDED_BY(pass_lock_) = kFirstBatch;
  uint32_t holds_ GUARDED_BY(lock_) = 0;
  size_t covered_bytes_ GUARDED_BY(lock_) = 0;
  uint32_t covered_epoch_ GUARDED_BY(lock_) = 0;
  uint64_t covered_given_ GUARDED_BY(lock_) = 0;
  SizeClassHeap* next_heap_ GUARDED_BY(pass_lock_) = nullptr;  // null: the first
  SizeClassHeap* fold_heap_ GUARDED_BY(pass_lock_) = nullptr;
  SpanId fold_cursor_ GUARDED_BY(pass_lock_) = kNoSpan;
  CompactorStatistics statistics_ GUARDED_BY(lock_);
};

}  // namespace mesh
