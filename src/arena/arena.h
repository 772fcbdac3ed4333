// Arena: the address segments that all objects lie in, and the page runs cut from them.
//
//   small segments   spans of size classes; never transparent huge pages, so that single pages can
//                    be remapped and returned
//   large segments   objects of more than kMaxSmallSize, a run of pages each
//   huge segments    one object of more than kMaxRunSize each, unmapped with it
//
// Segments are reserved (1 GiB of address space each, less where limits are tight) and committed
// step by step. Every refusal of the kernel is a kNoSpan.
// Room: arena; above base, os, sizeclass. Locks: kArena; system calls are made under it. Objects of
// 32 KiB to 1 MiB mostly come and go without it: run_cache.h.
//
// [A1] A span's records and entries are committed before its id is handed out.
// [A2] Metadata lies outside all segments; no overflow of an object reaches it.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>

#include "src/arena/page_heap.h"
#include "src/arena/page_map.h"
#include "src/arena/residency.h"
#include "src/arena/run_cache.h"
#include "src/base/mutex.h"
#include "src/base/random.h"
#include "src/base/units.h"

namespace mesh {

// What the record of a large object's first page holds.
struct LargeObject {
  // What it is at least, so that it has two records.
  static constexpr size_t kLeastPages = 2;

  PageCount pages = 0;
  // Pages of the guard behind it; 0: it has none, and none before it.
  PageCount guard_pages = 0;
  // Bytes that were asked for, where hardened heaps keep them; else 0.
  size_t size = 0;
  // The program heap that it belongs to, 0 for the main heap, and that heap's list of them
  // (global/program_heaps.h).
  SpanId next = kNoSpan;
  SpanId previous = kNoSpan;
  std::atomic<uint16_t> heap = 0;
  // Bytes before the address that the program was given; less than a page.
  uint16_t shift = 0;
  // So many pages from its first one on are a mapping of their own, with the memory of a freed
  // object (Arena::TakeWarmLocked). Those behind its last one are a part of the guard.
  uint16_t warmed = 0;
  // The pages were brought here by mremap: their mapping merges with no neighbour's, so fresh
  // memory is mapped in their place when the object is freed.
  bool moved = false;
  bool lost = false;  // a part of it is mapped no more

  // Of its pages; more than PageCount has bits for.
  size_t bytes() const { return size_t{pages} << kPageShift; }
  // `pages`, by who does not own the object, which may be resized meanwhile.
  size_t PagesNow() const {
    // order: relaxed; a figure, publishes nothing.
    return std::atomic_ref<PageCount>(const_cast<PageCount&>(pages))
        .load(std::memory_order_relaxed);
  }
  // Pages of the guard that have, or may have, memory.
  PageCount warm_room() const { return warmed > pages ? warmed - pages : 0; }
  void SetPages(PageCount count) {
    // order: relaxed; as above.
    std::atomic_ref<PageCount>(pages).store(count, std::memory_order_relaxed);
  }
};

struct ArenaStatistics {
  size_t segments = 0;  // huge ones included
  size_t reserved_bytes = 0;
  size_t committed_bytes = 0;
  size_t dirty_bytes = 0;     // free runs that still have memory behind them
  size_t metadata_bytes = 0;  // address space of entries and records
  size_t large_count = 0;     // large objects, huge ones included
  size_t large_bytes = 0;
  size_t purged_pages_total = 0;
};

class Arena {
 public:
  // Pages a run may have; larger objects have a segment of their own.
  static constexpr PageCount kMaxRunPages = kWindowPages / 2;

  constexpr Arena() = default;

  // A span of `units` units of the class, entries of `entry_class` set: its own, or
  // kProgramHeapClass. `*dirty`: it may hold anything, and else reads zeros. kNoSpan when out of
  // memory.
  SpanId AllocateSpan(SizeClass size_class, uint32_t units, SizeClass entry_class, bool* dirty);
  SpanId AllocateSpan(SizeClass size_class, uint32_t units) {
    bool dirty = false;
    return AllocateSpan(size_class, units, size_class, &dirty);
  }
  // Pages for several spans to come, so that spans of one class are neighbours and their mappings
  // can merge: `*pages`, or at least `least` where dirty pages are there but no such run of them.
  // Entries are kReservedClass. `*dirty`: memory may lie behind them. kNoSpan when out of memory.
  SpanId ReserveRun(PageCount least, PageCount* pages, bool* dirty);
  // Makes the first pages of such a run a span. Takes no lock.
  static void StartSpan(SpanId id, PageCount pages, SizeClass entry_class) {
    PageMap::SetSpan(id, pages, entry_class);
  }
  // Gives a span of a size class back. `dirty` is false when fresh memory was mapped over it.
  void FreeSpan(SpanId id, PageCount pages, bool dirty);

  // A large object of `pages` pages (its record may say an eighth more) at `alignment` bytes (a
  // power of two >= kPageSize), record and entry set. `zeroed`: the memory must read zeros; see
  // Residency. `room`: see GuardLarge().
  SpanId AllocateLarge(size_t pages, size_t alignment, bool zeroed, size_t room = 0);
  // The same for what MoveLarge() brings memory to: it may hold anything, and is given none.
  SpanId AllocatePlace(size_t pages, size_t alignment, size_t room) {
    bool clean = false;
    return TakePlace(pages, alignment, room, false, &clean);
  }
  void FreeLarge(SpanId id) { FreeLarge(id, false); }
  // Makes the object longer or shorter in place. Returns false when it cannot; nothing has changed.
  bool ResizeLarge(SpanId id, size_t pages);
  // Moves the memory of `from` into `to` (at least as long) without copying, and frees `from`.
  // Returns false when the kernel refuses; `from` is as it was, and `to` fit for FreeLarge() alone.
  bool MoveLarge(SpanId from, SpanId to);

  // Returns memory of free runs to the system until `keep_bytes` are dirty, or `most_bytes` of each
  // kind of segment were returned. Returns bytes returned. The lock is let go after each piece of
  // 4 MiB.
  size_t Purge(size_t keep_bytes, size_t most_bytes = SIZE_MAX);
  // Returns half of as much as has lain free ever since the last call, `most_bytes` at most of each
  // kind: not what a program frees and takes again in between. Returns bytes returned.
  size_t PurgeUnused(size_t most_bytes);

  // Somebody else looks after free runs (ReturnExcess()): threads that free pages return memory
  // only when twice as much as may wait is there.
  void set_defers_return(bool defers) {
    // order: relaxed; who misses the change does the work himself, or leaves it once more.
    defers_return_.store(defers, std::memory_order_relaxed);
  }
  // More pages are dirty than may wait: ReturnExcess() has something to do.
  bool has_excess() const {
    // order: relaxed; a hint.
    return has_excess_.load(std::memory_order_relaxed);
  }
  void ReturnExcess();

  // Calls visit(address, length) for the committed part of every small segment, under the lock.
  template <typename Visit>
  void ForEachSmallSegment(Visit visit) {
    MutexLock lock(lock_);
    for (uint32_t i = 0; i < segment_count_; i++) {
      const Segment& segment = *segments_[i];
      if (segment.small) visit(segment.base, size_t{segment.committed} << kPageShift);
    }
  }

  // Calls visit(SpanId) for every span of a size class, of whatever heap. Takes no lock: the caller
  // keeps spans from coming, and they go only by `visit` itself; so it holds the locks of all size
  // classes.
  template <typename Visit>
  void ForEachSpan(Visit visit) NO_THREAD_SAFETY_ANALYSIS {
    for (uint32_t i = 0; i < segment_count_; i++) {
      const Segment& segment = *segments_[i];
      if (!segment.small) continue;
      for (PageIndex page = 0; page < segment.committed; page++) {
        // order: relaxed; the locks that the caller holds order it.
        PageEntry entry = segment.entries[page].load(std::memory_order_relaxed);
        bool is_span = !entry.is_empty() && (entry.size_class() < kClassCount ||
                                             entry.size_class() == kProgramHeapClass);
        if (is_span && entry.page_in_span() == 0) visit(PageMap::IdOf(segment, page));
      }
    }
  }

  // Seeks the next span of the class behind *cursor (kNoSpan: from the start), in the order of
  // addresses in each segment. Looks at no more than *pages pages, and counts them down. True:
  // *cursor is the span. False: *cursor is where to go on, or kNoSpan at the end.
  // The caller holds the class's lock, so that its spans stay; other classes' may come and go.
  bool SeekSpan(SpanId* cursor, SizeClass size_class, PageCount* pages);

  // The program puts itself under a filter.
  void StopAsking() { residency_.StopAsking(); }

  // What hardened heaps ask for; before first use. A state for each 16 bytes of small segments
  // (PageMap::StateOf).
  void KeepSlotStates() { keeps_states_ = true; }
  // Pages without access before and behind each large object, as long as there are not too many;
  // the addresses of freed ones have none either, until they have rested. Their memory may be a new
  // object's at once. An object grows into the guard behind it, which is as much longer as it is
  // given room.
  void GuardLarge(uint64_t seed) NO_THREAD_SAFETY_ANALYSIS {
    guards_large_ = true;
    random_.Seed(seed);
  }
  // In a fork's child.
  void Reseed(uint64_t seed) NO_THREAD_SAFETY_ANALYSIS { random_.Seed(seed); }
  // The same around spans, which do not rest, and are no neighbours of each other then. Those that
  // are free wait for the next of their length, with their guards.
  void GuardSpans() { guards_spans_ = true; }
  bool guards_large() const { return guards_large_; }
  bool guards_spans() const { return guards_spans_; }

  // The address space that a segment reserves at once [bytes]; less where RLIMIT_AS is tight.
  void set_segment_size(size_t bytes) {
    segment_pages_ = static_cast<PageCount>(bytes >> kPageShift);
  }

  ArenaStatistics statistics();
  void CheckInvariants();

  // For fork(2): nobody is in the middle of a change.
  void LockAll() ACQUIRE(lock_) {
    cache_.LockAll();
    lock_.Lock();
  }
  void UnlockAll() RELEASE(lock_) {
    lock_.Unlock();
    cache_.UnlockAll();
  }

 private:
  friend struct WindowLayout;  // tells other processes where the figures lie
  static constexpr uint32_t kSegmentLimit = 4096;

  // Pages that a segment grows by at least; 1 MiB keeps mprotect calls rare and tails short.
  static constexpr PageCount kCommitStep = 256;
  // Pages that are returned under one hold of the lock: a few hundred microseconds.
  static constexpr PageCount kReturnStep = 1024;
  // Pages that a thread returns which frees a span beyond the limit: up to 300 us, as they may lie
  // apart. And which frees a large object, whose own length is of that order: what fits seldom had
  // better go at once.
  static constexpr PageCount kSmallLimitStep = 256;
  static constexpr PageCount kLargeLimitStep = 8192;

  // Where a large object may lie: in a run that lies ready with its memory, or wherever it fits.
  SpanId TakeCached(size_t pages, size_t alignment);
  SpanId TakePlace(size_t pages, size_t alignment, size_t room, bool warm, bool* clean);
  SpanId TakeLarge(size_t pages, size_t alignment, size_t room, bool warm, bool* clean);
  SpanId StartLargeLocked(SpanId id, size_t pages, PageCount run) REQUIRES(lock_);
  SpanId StartGuardedLocked(SpanId id, PageCount pages, PageCount behind, bool warm)
      REQUIRES(lock_);
  // Makes what is warm of an object's pages from `from` to `to` zeros.
  static void ClearWarmed(SpanId id, size_t from, size_t to);
  void NoteEndedLocked(size_t pages) REQUIRES(lock_);
  // `is_empty`: its memory has gone elsewhere.
  void FreeLarge(SpanId id, bool is_empty);
  void TakeBackCached();
  void GiveLarge(std::span<const RunCache::Run> runs);

  // Spans, and large objects, that have mappings of their own at a time: at most two each, so that
  // a half of what vm.max_map_count allows by default is left. It is for guards, where the kernel
  // cannot mark pages, and for objects in the memory of others: three each, where that reaches into
  // the guard, which only marked ones have.
  static constexpr uint32_t kMostGuarded = 65530 / 8;
  // Freed large objects that rest, and the pages of all: a half of a segment.
  static constexpr uint32_t kMostResting = 128;
  // Pages of memory that wait among them for a new object, and the longest and shortest piece: to
  // move one costs as much as a few fresh pages.
  static constexpr PageCount kMostWarm = 2048;
  static constexpr PageCount kLongestWarm = 1024;
  static constexpr PageCount kShortestWarm = 6;
  // Pages of it that lie in the guards of objects that grow.
  static constexpr PageCount kMostWarmRoom = 512;
  static constexpr PageCount kLongestSpan = 1 << kPlaceBits;

  struct Run {
    SpanId id;
    PageCount pages;
  };
  // A run that rests; `warm` pages from `warm_id` on have memory.
  struct Resting {
    Run run;
    SpanId warm_id;
    PageCount warm;
  };

  // Gives a page that nobody may use an entry of kReservedClass.
  static void MarkReserved(SpanId id, PageIndex place);
  // Makes pages inaccessible, and back. `clean`: there is no memory behind them.
  bool ShutLocked(SpanId id, PageCount pages, bool clean) REQUIRES(lock_);
  bool OpenLocked(SpanId id, PageCount pages) REQUIRES(lock_);
  // The same by protection alone, which keeps what is there.
  static bool ProtectPages(SpanId id, PageCount pages, bool open);
  bool PutGuardUpLocked(SpanId id, PageCount pages, PageIndex place, bool clean) REQUIRES(lock_);
  bool TakeGuardDownLocked(SpanId id, PageCount pages) REQUIRES(lock_);
  // Pages are marked at no cost but address space.
  uint32_t MostGuardedLocked() const REQUIRES(lock_) {
    return can_mark_ ? UINT32_MAX : kMostGuarded;
  }
  // A run with a page of guard before it and `behind` pages behind. kNoSpan: there are too many
  // guards, or the kernel refuses.
  SpanId TakeGuardedLocked(PageCount pages, PageCount behind, bool* clean) REQUIRES(lock_);
  // Takes the guards of a run down, if it has some; it becomes as much longer.
  void TakeGuardsDownLocked(PageCount behind, Run* run) REQUIRES(lock_);

  // The same for a span: one that waits, or a fresh one, whose neighbours have a guard in common.
  SpanId TakeSpanLocked(PageCount pages, bool* clean) REQUIRES(lock_);
  SpanId TakeFreshSpanLocked(PageCount pages, bool* clean) REQUIRES(lock_);
  // Keeps a free span for the next of its length. False: it has no guards.
  bool KeepSpanLocked(SpanId id, PageCount pages, bool dirty) REQUIRES(lock_);
  void WaitLocked(SpanId id, PageCount pages, bool dirty) REQUIRES(lock_);
  SpanId TakeWaitingLocked(PageCount pages, bool dirty) REQUIRES(lock_);
  // Returns memory of spans that wait, up to `most` pages. Returns: pages returned.
  PageCount PurgeWaitingLocked(PageCount most) REQUIRES(lock_);
  // Makes all of them free runs, and the guards between such. False: there was none.
  bool TakeBackWaitingLocked() REQUIRES(lock_);
  void TakeGuardsBetweenFreeRunsDownLocked(const Segment& segment) REQUIRES(lock_);
  bool ResizeGuardedLocked(SpanId id, PageCount pages) REQUIRES(lock_);
  // Moves the border from one page to another; `warmed` as in LargeObject.
  bool GrowIntoGuardLocked(SpanId id, PageCount from, PageCount to, PageCount warmed)
      REQUIRES(lock_);
  bool ShrinkFromGuardLocked(SpanId id, PageCount from, PageCount to, PageCount warmed)
      REQUIRES(lock_);

  // Lets a freed object rest, guards included. False: it has to be given back at once.
  bool RestLocked(SpanId id, const LargeObject& object, bool is_empty) REQUIRES(lock_);
  // Marks what was an object, guards included, as resting: for good, where nobody wakes it.
  void MarkRestingLocked(SpanId id, const LargeObject& object) REQUIRES(lock_);
  bool RestWarmLocked(SpanId id, const LargeObject& object, Resting* resting) REQUIRES(lock_);
  void WakeLocked(uint32_t index) REQUIRES(lock_);
  void CoolLocked(uint32_t index) REQUIRES(lock_);
  void CoolDownTo(PageCount keep) REQUIRES(lock_);
  // Brings memory of a freed object to the first of `pages` clean pages, the whole of a new one,
  // and of the guard behind, of which `room` pages may have some; it holds anything. Returns: pages
  // that it has been brought to.
  PageCount TakeWarmLocked(SpanId id, PageCount pages, PageCount room, bool* is_lost)
      REQUIRES(lock_);
  void LoseLargeLocked(SpanId id) REQUIRES(lock_);
  bool ReserveStatesLocked(Segment& segment) REQUIRES(lock_);
  static bool CommitStates(const Segment& segment, PageCount pages);

  PageHeap& HeapOf(bool small) { return small ? small_runs_ : large_runs_; }
  SpanId TakeLocked(bool small, PageCount pages, PageCount alignment_pages, bool* clean)
      REQUIRES(lock_);
  bool GrowLocked(bool small, PageCount pages) REQUIRES(lock_);
  bool CommitLocked(Segment& segment, PageCount pages) REQUIRES(lock_);
  bool ResizeLargeLocked(SpanId id, size_t pages) REQUIRES(lock_);
  void NoteGrownLocked(bool small, size_t pages) REQUIRES(lock_);
  void MakeUp();
  Segment* AddSegmentLocked(bool small, PageCount pages) REQUIRES(lock_);
  Segment* NewSegmentLocked(bool small, size_t pages, PageCount record_pages) REQUIRES(lock_);
  bool MapMetadataLocked(Segment& segment, PageCount record_pages) REQUIRES(lock_);
  SpanId AllocateHugeLocked(size_t pages, size_t alignment) REQUIRES(lock_);
  void FreeHugeLocked(SpanId id) REQUIRES(lock_);
  bool ResizeHugeLocked(SpanId id, size_t pages) REQUIRES(lock_);
  PageCount DirtyLimitLocked(bool small) const REQUIRES(lock_);
  PageCount DirtyPagesLocked(bool small) const REQUIRES(lock_);
  // `given` pages have just become dirty: returns memory when more waits than may.
  void LimitDirtyLocked(bool small, PageCount given) REQUIRES(lock_);
  PageCount UnusedPagesLocked(bool small) const REQUIRES(lock_);
  // Returns memory until `keep` pages are dirty, or `most` were returned. Returns pages returned.
  PageCount PurgeLocked(bool small, PageCount keep, PageCount most) REQUIRES(lock_);
  size_t ReturnDownTo(bool small, PageCount keep, size_t most = SIZE_MAX);

  RunCache cache_;
  Mutex lock_{LockRank::kArena};
  PageHeap small_runs_ GUARDED_BY(lock_);
  PageHeap large_runs_ GUARDED_BY(lock_);
  Segment* segments_[kSegmentLimit] GUARDED_BY(lock_) = {};  // small and large, not huge
  uint32_t segment_count_ GUARDED_BY(lock_) = 0;
  PageCount segment_pages_ = kWindowPages;
  Segment* free_huge_ GUARDED_BY(lock_) = nullptr;  // linked through `next`
  Residency residency_;
  PageCount grown_by_[2] GUARDED_BY(lock_) = {};  // large, small: since MakeUp()
  std::atomic<bool> has_grown_{false};
  std::atomic<bool> defers_return_{false};
  std::atomic<bool> has_excess_{false};
  ArenaStatistics statistics_ GUARDED_BY(lock_);
  bool keeps_states_ = false;
  bool guards_large_ = false;
  bool guards_spans_ = false;
  uint32_t guarded_[2] GUARDED_BY(lock_) = {};  // large objects, spans
  bool can_mark_ GUARDED_BY(lock_) = true;      // os::Guard works, as far as is known
  bool has_marked_ GUARDED_BY(lock_) = false;
  SpanId waiting_[2][kLongestSpan + 1] GUARDED_BY(lock_) = {};  // clean and dirty, by their pages
  PageCount waiting_dirty_ GUARDED_BY(lock_) = 0;               // pages of dirty ones
  PageCount least_waiting_dirty_ GUARDED_BY(lock_) = 0;         // as PageHeap's
  bool has_waiting_ GUARDED_BY(lock_) = false;                  // there may be one
  Resting resting_[kMostResting] GUARDED_BY(lock_) = {};
  uint32_t resting_count_ GUARDED_BY(lock_) = 0;
  PageCount resting_pages_ GUARDED_BY(lock_) = 0;
  PageCount warm_pages_ GUARDED_BY(lock_) = 0;
  uint32_t warmed_ GUARDED_BY(lock_) = 0;      // objects that are
  PageCount warm_room_ GUARDED_BY(lock_) = 0;  // of all of them
  size_t large_peak_ GUARDED_BY(lock_) = 0;    // of large_bytes
  Random random_ GUARDED_BY(lock_);
};

}  // namespace mesh
