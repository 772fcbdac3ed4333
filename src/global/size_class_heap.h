// SizeClassHeap: all spans of one size class, and the one lock that guards them.
//
//   partial_[7]  fullest   <- refills take from here first, so that sparse spans drain
//   ...
//   partial_[0]  sparsest
//   attached_    each drawn from by one thread;  full spans are in no list
//
// Room: global; above meshing. Locks: kSizeClass; takes kArena and kBacking under it. System calls
// happen under it when spans come and go.
//
// A class of a program heap (program_heaps.h) has the same, and what no thread has for it: the
// slots that it hands out next (ProgramShare), and a list of full spans, so that all of it can be
// found.
//
// [SH1] A leader with place kPartial is in the bin of its occupancy, or in a fuller one: frees
//       leave it there until a refill comes by. kAttached ones are in attached_. In a program heap,
//       full ones are in the last bin; elsewhere in none.
// [SH2] A span without objects goes back to the arena at once, unless it is attached or withdrawn.
// [SH3] A span of a program heap has entries of kProgramHeapClass, and owner() names that heap.
#pragma once

#include <cstdint>
#include <span>

#include "src/arena/arena.h"
#include "src/base/mutex.h"
#include "src/base/random.h"
#include "src/global/candidate.h"
#include "src/global/drain_policy.h"
#include "src/global/pending_frees.h"
#include "src/global/program_share.h"
#include "src/global/size_class_statistics.h"
#include "src/meshing/backing.h"
#include "src/meshing/mesher.h"
#include "src/meshing/run_planner.h"
#include "src/meshing/span_releaser.h"
#include "src/miniheap/mini_heap.h"
#include "src/miniheap/word_pool.h"
#include "src/os/page_table.h"
#include "src/secure/policy.h"
#include "src/sizeclass/size_class.h"

namespace mesh {

class SizeClassHeap {
 public:
  constexpr SizeClassHeap() = default;

  // Before first use. What is handed in outlives this heap. `share`: of a class of a program heap.
  void Init(SizeClass size_class, Arena* arena, Backing* backing, SpanReleaser* releaser,
            ProgramShare* share = nullptr);

  // Objects that were freed while a batch had the class. Without storage threads wait for batches.
  PendingFrees& pending() { return pending_; }
  // Spans of one length that the class has before it makes longer ones; before first use.
  void set_spans_per_length(uint64_t count) { spans_per_length_ = count; }
  // Mappings there are, as a multiple of what Linux allows by default: with more of them, more
  // spans can be short.
  void set_mapping_wealth(uint32_t wealth);
  // Pages that a span longer than a unit may have, from now on.
  void AllowSpanPages(PageCount pages);

  // Takes `wanted` free slots, to be popped in `order`, for thread heap `owner`; more, up to
  // `room`, where that empties a span: a rest costs as much as a whole the next time.
  // `attached` is the span that the owner draws from, kNoSpan at first; updated. Null: the slots
  // come from a span that others draw from as well, in whole cache lines as far as they are free.
  // Returns: slots written to `out`; 0 when out of memory; kBusy, unless it `waits`, when a batch
  // has the class.
  static constexpr uint32_t kBusy = UINT32_MAX;
  uint32_t Refill(uint16_t owner, SpanId* attached, Random& random, SlotOrder order, void** out,
                  uint32_t wanted, uint32_t room, bool waits = true);

  // Frees `count` objects of this class. Ends the program on a pointer that is no object (any
  // more). `forget` is called before the lock is let go: a fork must not find the objects with the
  // caller and in here. With `lenient`, what is no object is passed over: a fork's child cleans up
  // after threads that were caught in the middle of something.
  template <typename Forget>
  void Release(void* const* objects, uint32_t count, Forget forget, bool lenient = false) {
    MutexLock lock(lock_);
    changed_ = true;
    ReleaseLocked(objects, count, lenient);
    forget();
  }
  // The same for a thread that goes on, and hands out again what it frees. Returns: whether it is
  // to Return() from now on what it frees (DrainPolicy).
  template <typename Forget>
  bool Flush(void* const* objects, uint32_t count, Forget forget) {
    if (!LockOrLeave(objects, count, forget)) return false;
    changed_ = true;
    ReleaseLocked(objects, count, false);
    forget();
    bool drains = kSizeClasses[size_class_].meshable && drain_.OnFlush(DrainSlotsLocked());
    lock_.Unlock();
    return drains;
  }
  // The same for one that does: whether it is to go on. `reused`: see DrainPolicy.
  template <typename Forget>
  bool Return(void* const* objects, uint32_t count, bool reused, Forget forget) {
    bool waited = false;
    if (!lock_.TryLock()) {
      waited = true;
      if (!LockOrLeave(objects, count, forget)) return true;
    }
    changed_ = true;
    ReleaseLocked(objects, count, false);
    forget();
    const bool goes_on = drain_.OnReturn(DrainSlotsLocked(), count, reused, waited);
    lock_.Unlock();
    return goes_on;
  }

  // Whether `object`, where a slot of this class starts, is in use, or waits in a thread's vector.
  bool IsInUse(void* object);

  // The owner draws from `attached` no longer.
  void Detach(uint16_t owner, SpanId attached);

  // What meshing may have to do, estimated by some spans of each bin.
  MeshDemand demand();
  // Compaction, step 1: looks at some spans behind *cursor, and notes leaders that are at most 7/8
  // full; or with `each`, all spans with objects that these lead. All stay in use: a plan is
  // checked when it is carried out. An attached span without objects goes to the arena. *cursor is
  // kNoSpan at the end. Returns: candidates written. Locks: this class's, for 50 us or so.
  uint32_t Survey(SpanId* cursor, bool each, std::span<Candidate> out);
  // Step 2 (size_class_batch.h): runs a batch under this class's lock. `add` gets a Gathered*,
  // gathers groups and adds them to the mesher.
  template <typename Add>
  MeshResult MeshBatch(Mesher& mesher, Add add);
  // In `add`: takes the leaders of those of `spans` that are still of `units` units and can still
  // share one physical span, `most_members` virtual spans at most, out of their lists until the
  // batch has run. `gathered` has room for all of them.
  std::span<MiniHeap*> GatherLocked(std::span<const SpanId> spans, uint32_t units,
                                    uint32_t most_members, Gathered* gathered) REQUIRES(lock_);
  // The same for one span, to join the group of `to` or (kNoSpan) to be alone; room for two.
  GatheredSpan GatherOneLocked(SpanId id, SpanId to, uint32_t units, uint32_t most_members,
                               Gathered* gathered) REQUIRES(lock_);
  // Puts the last `count` back into their lists.
  void PutBackLocked(Gathered* gathered, size_t count) REQUIRES(lock_);

  // Folds spans of this class whose private views have copied pages (Mesher::Fold). Looks at the
  // page entries from *cursor on, in the order of Arena::SeekSpan, and stops after one batch of
  // `most_pages` or a little more; *cursor is kNoSpan at the end. Returns: pages of memory saved.
  uint32_t FoldBatch(Mesher& mesher, const os::PageTable& table, SpanId* cursor,
                     uint32_t most_pages);

  // ---- Of a class of a program heap (size_class_program.cc) ----

  // One object; null when out of memory, or with *is_over when the heap is of another generation.
  // *looked: slots had to be looked for.
  void* TakeOne(uint32_t generation, bool* looked, bool* is_over);
  // Frees an object whose span is thought to be this class's. False: it is not, any more.
  bool ReleaseOne(void* object);
  // Slots that wait to be handed out go back.
  void DropReady();
  // Gives all spans back with all objects, or hands them over to `to`, the same class of the main
  // heap, piece by piece. The heap is of another generation already, so that none are added.
  // Cost: O(spans).
  void DestroyAll();
  void HandOver(SizeClassHeap& to);
  // Spans that there are, of which as many are named as `out` has room for.
  uint64_t ListSpans(std::span<SpanId> out);
  // Of a span that ListSpans() has named: which slots hold objects; none when it has gone.
  Bitmap ObjectsOf(SpanId id);
  // How spans are made, as in the same class of the main heap; before first use.
  void TakeSettings(SizeClassHeap& from);
  // A new heap has the class.
  void Restart(uint64_t seed);
  // In a fork's child.
  void ReseedLocked(uint64_t seed) REQUIRES(lock_) { share_->random.Seed(seed); }
  // 0: of the main heap.
  uint16_t program_heap() const { return share_ == nullptr ? 0 : share_->heap; }
  bool takes_interior() const { return share_ != nullptr && share_->takes_interior; }
  // The next in the list of all classes of program heaps; set once.
  SizeClassHeap* next_program_class() const { return next_program_class_; }
  void set_next_program_class(SizeClassHeap* next) { next_program_class_ = next; }

  // Where waits for this class's lock are counted while a batch runs; before first use.
  void set_meter(WaitMeter* meter) { meter_ = meter; }

  // Something was freed or taken since the last call: compaction may find something new. Gives
  // memory that waits for spans to come back to the arena, which returns it to the system in time.
  bool TakeChanged();
  void NoteChanged();

  // fork(2), prepare, lock held: `span` has pages of its own now, and is alone.
  void SplitOffLocked(MiniHeap* span) REQUIRES(lock_);

  // Of a class that is never meshed: returns pages to the system that no object lies on.
  struct Trimmed {
    size_t bytes = 0;       // that had memory, as far as is known
    bool has_kept = false;  // there are more, which may be returned if they stay free
  };
  // Whether there may be so much that a walk pays; `keeps_recent` as below.
  bool IsWorthTrimming(bool keeps_recent);
  void BeginTrim();  // Before a walk.
  // Looks at some spans behind *cursor (kNoSpan: from the start), which is kNoSpan at the end. With
  // `keeps_recent`, pages go that were free at the last look, too.
  // Locks: this class's, for 100 us or so.
  Trimmed Trim(SpanId* cursor, bool keeps_recent);
  // A walk has come to the end, and kept nothing.
  void NoteTrimmed();
  // All of it. Returns bytes.
  size_t ReleaseFreeSlots();

  SizeClassStatistics statistics();
  void CheckInvariants();
  Mutex& lock() { return lock_; }
  SizeClass size_class() const { return size_class_; }

 private:
  friend struct WindowLayout;  // tells other processes where the figures lie
  // By occupancy in eighths, or in quarters and more where slots are no power of two; a span in the
  // last one is full.
  static constexpr uint32_t kBins = 9;
  // Where program heaps keep spans without free slots.
  static constexpr uint32_t kFullBin = kBins;

  // Spans and pages that one Survey() looks at: about 50 us each.
  static constexpr uint32_t kSurveyedSpans = 512;
  static constexpr PageCount kSurveyedPages = 1 << 16;

  static uint32_t BinOf(const MiniHeap* leader) {
    return leader->in_use() >> (leader->info().bin_shift + leader->length_shift());
  }
  // Whether a span leads something that has room, and objects that are worth moving.
  static bool IsCandidate(const MiniHeap* span) {
    bool is_listed = span->place() == SpanPlace::kPartial || span->place() == SpanPlace::kAttached;
    return is_listed && span->in_use() > 0 && span->in_use() * 8 <= span->slots() * 7;
  }
  // Where an object that is freed lies.
  struct SlotPlace {
    MiniHeap* span;
    SlotIndex slot;
  };
  // Half of a thread's vector; 2 KiB of stack.
  static constexpr uint32_t kReleasedAtOnce = 64;
  static constexpr uint16_t kNobody = 0;

  struct FoldPlan;
  // Adds a span, if stores have copied pages of it. False: the plan has no room for it.
  bool AddToFoldLocked(MiniHeap* span, FoldPlan* plan) REQUIRES(lock_);

  enum class WalkOf : uint8_t { kSurvey, kFold };

  // Whether the page's entry says that a span of this class's own begins there, or lies there.
  bool IsMineLocked(PageEntry entry, SpanId id) const REQUIRES(lock_) {
    if (entry.size_class() != entry_class_) return false;
    if (MESH_LIKELY(share_ == nullptr)) return true;
    const MiniHeap* span = MiniHeap::Of(id);
    return span->owner() == share_->heap && span->size_class() == size_class_;
  }
  // What owner() is of a span that no thread draws from.
  uint16_t RestingOwner() const { return share_ == nullptr ? kNobody : share_->heap; }
  // The next span behind *cursor (kNoSpan: the first) that `walk` comes to: by addresses, or
  // through the lists of a program heap. False: at the end, or after *pages pages, and *cursor
  // tells which.
  bool NextSpanLocked(WalkOf walk, SpanId* cursor, PageCount* pages) REQUIRES(lock_);
  bool NextListedLocked(WalkOf walk, SpanId* cursor) REQUIRES(lock_);
  // Walks that stand at a leader that leaves its list go on behind it.
  void StepOverLocked(const MiniHeap* leader) REQUIRES(lock_);
  MiniHeap* FirstListedLocked() REQUIRES(lock_);
  void DropReadyLocked() REQUIRES(lock_);
  void HandOverGroupLocked(MiniHeap* leader, SizeClassHeap& to) REQUIRES(lock_, to.lock_);
  uint32_t DestroySomeLocked(uint32_t most) REQUIRES(lock_);

  // Fresh pages for a span, from the reserve or from the arena. `*dirty`: as AllocateSpan().
  SpanId NewSpanLocked(uint32_t units, bool* dirty) REQUIRES(lock_);
  // Gives the reserve back.
  void DropReserveLocked() REQUIRES(lock_);
  uint64_t CountSparseLocked(uint32_t bin) REQUIRES(lock_);
  // Whether the class has so many spans of 2^length units that the next should be longer.
  bool HasEnoughLocked(int length) const REQUIRES(lock_);
  // Units of the next span.
  uint32_t NextUnitsLocked() const REQUIRES(lock_);
  void NoteStartedLocked(const MiniHeap* span) REQUIRES(lock_);
  void NoteEndedLocked(uint32_t units) REQUIRES(lock_);
  void NoteLeftLocked(const MiniHeap* member) REQUIRES(lock_);
  MiniHeap* FindPartialLocked(uint16_t owner, MiniHeap** fullest) REQUIRES(lock_);
  // Slots of all physical spans.
  uint64_t SlotsLocked() const REQUIRES(lock_);
  DrainPolicy::Slots DrainSlotsLocked() const REQUIRES(lock_) {
    return {SlotsLocked(), in_use_, kSizeClasses[size_class_].size};
  }
  bool IsDenseLocked() const REQUIRES(lock_);
  MiniHeap* StartSpanLocked() REQUIRES(lock_);
  // The words of a span that has ended, if it had any.
  void GiveWordsLocked(uint64_t* words, uint32_t units) REQUIRES(lock_) {
    if (words != nullptr) words_.Give(words, MiniHeap::WordsOutside(size_class_, units));
  }
  MiniHeap* AttachLocked(uint16_t owner, bool shared) REQUIRES(lock_);
  uint32_t RefillLocked(uint16_t owner, SpanId* attached, Random& random, SlotOrder order,
                        void** out, uint32_t wanted, uint32_t room) REQUIRES(lock_);
  void AttachToLocked(MiniHeap* leader, uint16_t owner, bool shared) REQUIRES(lock_);
  MiniHeap* FindAttachedLocked(uint16_t owner, SpanId attached) REQUIRES(lock_);
  // Where to begin to take slots from a span.
  static SlotIndex FirstSlot(const MiniHeap* span, SlotOrder order, bool shared, Random& random);
  // `wanted` of the span's free slots, or all if they are at most `room`. Returns: slots written.
  uint32_t TakeSlotsLocked(MiniHeap* span, SlotOrder order, bool shared, Random& random, void** out,
                           uint32_t wanted, uint32_t room) REQUIRES(lock_);
  void RemoveFromListLocked(MiniHeap* leader) REQUIRES(lock_);
  void InsertLocked(MiniHeap* leader) REQUIRES(lock_);
  // Takes a leader from where it is to where its occupancy belongs.
  void PutBackLocked(MiniHeap* leader) REQUIRES(lock_) {
    RemoveFromListLocked(leader);
    InsertLocked(leader);
  }
  // Takes a leader out of its list for a batch, and puts it back after.
  void WithdrawLocked(MiniHeap* leader) REQUIRES(lock_);
  void RestoreLocked(MiniHeap* leader) REQUIRES(lock_);
  MiniHeap* FindLeaderLocked(SpanId id, uint32_t units) REQUIRES(lock_);
  MeshResult RunBatchLocked(Mesher& mesher) REQUIRES(lock_);
  void ReleaseLocked(void* const* objects, uint32_t count, bool lenient) REQUIRES(lock_);
  uint32_t LocateLocked(std::span<void* const> objects, bool lenient, SlotPlace* places)
      REQUIRES(lock_);
  // Of hardened heaps, [SG3]: whether free slots of a span may hold what another span's had there.
  // Program heaps do not clear theirs.
  bool LeavesTraces(const MiniHeap* span) const {
    return MESH_UNLIKELY(secure_policy.clears) && span->is_backed() && share_ == nullptr;
  }
  void RequireUntouchedLocked(const SlotPlace* place) REQUIRES(lock_);
  // Of hardened heaps, [SG3]: slots of a span that comes from elsewhere.
  static void EmptyFreeSlots(const MiniHeap* span);
  uint32_t FreePlacesLocked(const SlotPlace* place, bool lenient) REQUIRES(lock_);
  static void RefuseFree(void* object, bool lenient, const char* why);
  // Takes the lock; or leaves the objects to whoever has it for a batch, and returns false.
  template <typename Forget>
  bool LockOrLeave(void* const* objects, uint32_t count, Forget forget) TRY_ACQUIRE(true, lock_) {
    if (lock_.LockUnlessLong()) return true;
    if (!pending_.Add(objects, count, forget)) {
      lock_.Lock();
      return true;
    }
    // Who had the lock may have let it go before they were there.
    if (lock_.TryLock()) {
      FreePendingLocked();
      lock_.Unlock();
    }
    return false;
  }
  // Frees some of what is pending, as much as a thread leaves at once; all, in such pieces.
  void FreePendingLocked() REQUIRES(lock_);
  void FreePending() EXCLUDES(lock_);
  class BatchLock;
  void DropEmptiedLocked(MiniHeap* span) REQUIRES(lock_);
  // Makes a span without objects pages of the arena again. False: the kernel refuses.
  bool ReleaseSpanLocked(MiniHeap* span) REQUIRES(lock_);
  bool ReleaseMemberLocked(MiniHeap* member) REQUIRES(lock_);
  void ReleaseGroupLocked(MiniHeap* leader) REQUIRES(lock_);
  bool MayTrim() const;
  size_t FreeBytesLocked() const REQUIRES(lock_);
  void NoteUsedLocked() REQUIRES(lock_);
  Trimmed TrimSpanLocked(MiniHeap* span, bool keeps_recent) REQUIRES(lock_);

  Mutex lock_{LockRank::kSizeClass};
  SizeClass size_class_ = kNoClass;
  SizeClass entry_class_ = kNoClass;  // what page entries of its spans say
  ProgramShare* share_ = nullptr;     // of a class of a program heap
  SizeClassHeap* next_program_class_ = nullptr;
  static constexpr uint64_t kBySlots = UINT64_MAX;
  uint64_t spans_per_length_ = kBySlots;
  uint32_t mapping_wealth_ GUARDED_BY(lock_) = 1;
  PageCount max_span_pages_ GUARDED_BY(lock_) = kMaxMeshablePages;
  Arena* arena_ = nullptr;
  Backing* backing_ = nullptr;
  SpanReleaser* releaser_ = nullptr;
  WaitMeter* meter_ = nullptr;
  PendingFrees pending_;
  SpanId reserve_ GUARDED_BY(lock_) = kNoSpan;  // first of the pages taken for spans to come
  PageCount reserve_pages_ GUARDED_BY(lock_) = 0;
  bool reserve_dirty_ GUARDED_BY(lock_) = false;  // memory may lie behind them
  SpanList partial_[kBins + 1] GUARDED_BY(lock_);
  SpanList attached_ GUARDED_BY(lock_);
  WordPool words_ GUARDED_BY(lock_);
  DrainPolicy drain_ GUARDED_BY(lock_);
  uint64_t spans_ GUARDED_BY(lock_) = 0;  // virtual spans of this class
  uint64_t spans_of_length_[kSpanLengths] GUARDED_BY(lock_) = {};
  uint64_t pages_ GUARDED_BY(lock_) = 0;
  uint64_t spans_started_ GUARDED_BY(lock_) = 0;
  uint64_t spans_peak_ GUARDED_BY(lock_) = 0;
  uint64_t in_use_ GUARDED_BY(lock_) = 0;   // slots set, in all
  uint64_t members_ GUARDED_BY(lock_) = 0;  // spans that a group's leader shares its memory with
  uint64_t member_pages_ GUARDED_BY(lock_) = 0;
  uint64_t backed_pages_ GUARDED_BY(lock_) = 0;  // of spans that show the backing
  bool changed_ GUARDED_BY(lock_) = false;
  // Of a class that is never meshed: of the bytes beside objects, those that the last walk has
  // returned or could not return.
  size_t settled_bytes_ GUARDED_BY(lock_) = 0;
  size_t walked_bytes_ GUARDED_BY(lock_) = 0;  // the same of the walk that is under way
};

template <typename Visit>
void ProgramClassList::ForEach(Visit visit) const {
  for (SizeClassHeap* heap = front(); heap != nullptr; heap = heap->next_program_class()) {
    visit(*heap);
  }
}

}  // namespace mesh
