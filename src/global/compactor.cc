// See compactor.h.
#include "src/global/compactor.h"

#include <algorithm>
#include <bit>
#include <new>

#include "src/base/check.h"
#include "src/global/size_class_batch.h"
#include "src/os/memory.h"
#include "src/os/process.h"

namespace mesh {
namespace {

// How long a pass stands back for threads that waited for its last batch.
constexpr uint64_t kMostPatienceNs = 2'000'000;

// The smallest object that may be a stack: what sigaltstack(2) takes on any machine. A store to a
// stack that is protected by mprotect kills: the kernel has nowhere to push the signal's frame.
constexpr uint32_t kLeastStackBytes = 2048;

// Where forks are expected: pages of small spans from which on new ones get longer than
// GlobalHeap::ExpectForks() begins with. (512 MB of 16 to 1024 bytes, 85 % freed: physical memory
// 124 MB with 38,700 mappings at 4 pages throughout, 152 with 21,300 at 8; half of it freed: 474
// and 568.)
constexpr int64_t kPagesBeforeLongSpans = int64_t{24} * 1024;
constexpr PageCount kLongSpanPages = 8;

// Somewhat less than the default of vm.max_map_count, 65,530, leaves to meshing [MB1].
constexpr int64_t kUsualMappings = 48'000;

static_assert(WaitMeter::kBuckets == kPauseBuckets);

}  // namespace

Compactor::Compactor(std::span<SizeClassHeap> heaps, const ProgramClassList& program_classes,
                     Arena& arena, Mesher& mesher, WriteBarrier& barrier, MappingBudget& budget)
    : heaps_(heaps),
      program_classes_(program_classes),
      arena_(arena),
      mesher_(mesher),
      barrier_(barrier),
      budget_(budget),
      meter_(os::MonotonicNs) {
  for (SizeClassHeap& heap : heaps_) heap.set_meter(&meter_);
}

SizeClassHeap* Compactor::After(SizeClassHeap* heap) const {
  if (heap->program_heap() != 0) {
    return heap->next_program_class() != nullptr ? heap->next_program_class() : First();
  }
  if (heap != &heaps_.front()) return heap - 1;
  return program_classes_.front() != nullptr ? program_classes_.front() : First();
}

// False when this thread or process must not mesh, or there is no scratch memory.
bool Compactor::PrepareLocked() {
  if (is_stopped()) return false;
  int on_stack = 0;
  if (!PageMap::Find(reinterpret_cast<uintptr_t>(&on_stack)).is_empty()) return false;  // [C2]
  if (scratch_ == nullptr) {
    os::Result<uintptr_t> place = os::MapAnonymous(sizeof(Scratch));
    if (!place.ok()) return false;
    scratch_ = reinterpret_cast<Scratch*>(place.value);
  }
  RefreshBudgetLocked();
  static_cast<void>(barrier_.Prepare());
  CoverSegmentsLocked();
  return true;
}

// What a fork copies is kept in proportion to the heap, by the budget, and by longer spans for a
// heap that would meet it.
void Compactor::RefreshBudgetLocked() {
  if (!spares_forks_) {
    budget_.Refresh();
    auto wealth = static_cast<uint32_t>(budget_.limit() / kUsualMappings);
    if (wealth <= mapping_wealth_) return;
    ForEachHeap([&](SizeClassHeap& heap) { heap.set_mapping_wealth(wealth); });
    mapping_wealth_ = wealth;
    return;
  }
  int64_t pages = 0;
  int64_t meshed_pages = 0;
  ForEachHeap([&](SizeClassHeap& heap) {
    SizeClassStatistics statistics = heap.statistics();
    pages += static_cast<int64_t>(statistics.pages);
    meshed_pages += static_cast<int64_t>(statistics.meshed_pages);
  });
  if (pages > kPagesBeforeLongSpans && !has_long_spans_) {
    ForEachHeap([](SizeClassHeap& heap) { heap.AllowSpanPages(kLongSpanPages); });
    has_long_spans_ = true;
  }
  budget_.Refresh(pages, meshed_pages);
}

// By what the classes would need, and the mappings that are left: in each slice, and when there are
// more or fewer of them.
void Compactor::SetPrice() {
  const int64_t left = budget_.left();
  if (left == priced_left_) return;
  priced_left_ = left;
  for (size_t i = 0; i < heaps_.size(); i++) {
    MeshDemand demand = heaps_[i].demand();
    if (!MayMove(kSizeClasses[heaps_[i].size_class()])) demand.pages = demand.plain_pages = 0;
    scratch_->demands[i] = demand;
  }
  price_ = PriceOfMappings({scratch_->demands, heaps_.size()}, static_cast<uint64_t>(left));
  price_anew_ = kUnknown;
}

// Whether any mapping would save as much in a class of the main heap.
bool Compactor::IsWorthPrice(const SizeClassHeap& heap) const {
  return PlanPacking(scratch_->demands[heap.size_class() - 1], price_).saved > 0;
}

// Whether the barrier of this pass may hold back stores to objects of the class.
bool Compactor::MayMove(const SizeClassInfo& info) const {
  if (!info.meshable) return false;
  return barrier_.tier() != BarrierTier::kSegv || info.size < kLeastStackBytes;
}

// Registers the small segments with the barrier as wholes when something has changed: each call
// costs as many mappings as there are in the segment.
void Compactor::CoverSegmentsLocked() {
  size_t bytes = 0;
  arena_.ForEachSmallSegment([&](uintptr_t, size_t length) { bytes += length; });
  uint64_t given = budget_.given();
  bool same = bytes == covered_bytes_ && barrier_.epoch() == covered_epoch_;
  if (same && given - covered_given_ < kCoverAfter) return;
  // A segment that the barrier cannot watch as a whole is watched span by span, at more cost.
  arena_.ForEachSmallSegment([&](uintptr_t address, size_t length) {
    static_cast<void>(barrier_.Cover({address, length}));
  });
  covered_bytes_ = bytes;
  covered_epoch_ = barrier_.epoch();
  covered_given_ = given;
}

bool Compactor::Enter(bool wait) {
  if (wait) {
    lock_.Lock();
  } else if (!lock_.TryLock()) {
    return false;
  }
  if (holds_ == 0) return true;
  lock_.Unlock();
  return false;
}

bool Compactor::EnterPass(bool wait) {
  // order: relaxed; a hint, so that who wants to wait need not race for the lock.
  if (!wait) return !is_awaited() && pass_lock_.TryLock();
  waiting_.fetch_add(1, std::memory_order_relaxed);
  pass_lock_.Lock();
  waiting_.fetch_sub(1, std::memory_order_relaxed);
  return true;
}

void Compactor::Resume() {
  MutexLock lock(lock_);
  holds_--;
}

void Compactor::AfterForkInChildLocked() NO_THREAD_SAFETY_ANALYSIS {
  holds_ = 0;
  // A pass that another thread was in the middle of has nobody to go on with it.
  new (&pass_lock_) Mutex(LockRank::kPass);
  progress_ = {};
  meter_.ForgetWaiting();
  // order: relaxed; the child has one thread.
  waiting_.store(0, std::memory_order_relaxed);
}

// The lock of a class goes to whoever comes first, and that is who has just let it go. So threads
// that had to wait for a batch are let in before the next.
void Compactor::LetOthersIn() const {
  if (meter_.waiting() == 0) return;
  uint64_t until_ns = os::MonotonicNs() + kMostPatienceNs;
  while (meter_.waiting() > 0 && os::MonotonicNs() < until_ns) os::YieldThread();
}

PassResult Compactor::Run(const PassLimits& limits, bool wait) {
  PassResult result;
  if (!EnterPass(wait)) return result;
  bool may_begin = Enter(wait);
  if (may_begin) {
    may_begin = PrepareLocked();
    if (may_begin) statistics_.passes++;
    // Where nothing may be done, nothing is left to do.
    result.is_complete = !may_begin;
    lock_.Unlock();
  }
  if (may_begin) {
    if (limits.every_class) progress_ = {};
    priced_left_ = kUnpriced;
    size_t classes = heap_count();
    while (os::MonotonicNs() < limits.deadline_ns && (wait || !is_awaited())) {
      if (progress_.heap != nullptr) {
        if (limits.gives_way) os::YieldThread();
        if (!Step(limits, wait, &result)) break;
      } else if (classes > 0) {
        classes--;
        BeginClass(limits, &result);
      } else {
        result.is_complete = true;
        break;
      }
    }
    if (progress_.heap == nullptr) {
      static_cast<void>(os::ReleasePages(reinterpret_cast<uintptr_t>(scratch_), sizeof(Scratch)));
    }
  }
  pass_lock_.Unlock();
  if (result.freed > 0 || result.is_limited) NotePass(result.is_limited);
  return result;
}

uint32_t Compactor::Fold(const PassLimits& limits, bool wait) {
  bool has_meshed = false;
  ForEachHeap(
      [&](SizeClassHeap& heap) { has_meshed = has_meshed || heap.statistics().meshed > 0; });
  if (!has_meshed) return 0;
  if (!EnterPass(wait)) return 0;
  uint32_t saved = 0;
  os::PageTable table;
  bool may_begin = Enter(wait);
  if (may_begin) {
    may_begin = PrepareLocked();
    lock_.Unlock();
  }
  if (may_begin && table.Open().ok()) {
    if (fold_heap_ == nullptr) fold_heap_ = First();
    for (size_t classes = 0; classes < heap_count() && os::MonotonicNs() < limits.deadline_ns;) {
      SizeClassHeap& heap = *fold_heap_;
      if (MayMove(kSizeClasses[heap.size_class()]) && heap.statistics().meshed > 0) {
        if (limits.gives_way) os::YieldThread();
        LetOthersIn();
        if (!Enter(wait)) break;
        uint64_t began = os::MonotonicNs();
        uint32_t pages = heap.FoldBatch(mesher_, table, &fold_cursor_, batch_pages_ / 2);
        NotePauseLocked(os::MonotonicNs() - began);
        statistics_.pages_folded += pages;
        lock_.Unlock();
        saved += pages;
        if (fold_cursor_ != kNoSpan) continue;
      }
      fold_cursor_ = kNoSpan;
      fold_heap_ = After(fold_heap_);
      classes++;
    }
  }
  pass_lock_.Unlock();
  return saved;
}

// Does the next piece of work in the class. False: the pass has to end here.
bool Compactor::Step(const PassLimits& limits, bool wait, PassResult* result) {
  Progress& p = progress_;
  if (p.is_trimming) {
    Trim(limits.keeps_recent, result);
    return true;
  }
  if (p.next < p.steps()) return MeshBatch(wait, result);
  if (p.is_packing) {
    Plan(limits.looks_per_class);
    return true;
  }
  if (p.units > 1) {
    // Long spans come first: each of them saves more for its mapping.
    p.units /= 2;
    p.was_brief |= limits.look_again;
    BeginPlan();
    return true;
  }
  if (p.units == 1 && p.is_surveyed) {
    if (p.was_brief || p.may_mesh_rest || p.each) p.heap->NoteChanged();
    p = {};
    return true;
  }
  if (p.units == 1) p.found = 0;
  p.units = 0;
  Survey();
  bool is_enough = p.is_surveyed || p.found == kMaxCandidates;
  if (is_enough) p.units = 2 * kSizeClasses[p.heap->size_class()].max_units;
  return true;
}

void Compactor::Trim(bool keeps_recent, PassResult* result) {
  LetOthersIn();
  Progress& p = progress_;
  SizeClassHeap::Trimmed trimmed = p.heap->Trim(&p.cursor, keeps_recent);
  result->freed += trimmed.bytes;
  p.has_kept |= trimmed.has_kept;
  if (p.cursor != kNoSpan) return;
  if (p.has_kept) {
    result->has_kept = true;
    p.heap->NoteChanged();
  } else {
    p.heap->NoteTrimmed();
  }
  p = {};
}

// False: another thread is at work, or a fork is about to come; the plan waits.
bool Compactor::MeshBatch(bool wait, PassResult* result) {
  LetOthersIn();
  if (!Enter(wait)) return false;
  if (is_stopped()) {
    lock_.Unlock();
    return false;
  }
  Progress& p = progress_;
  uint64_t began = 0;
  uint32_t planned = 0;
  const uint32_t first = p.next;
  // Inside, this function's lock and the class's are held, which clang cannot tell of a lambda.
  MeshResult meshed = p.heap->MeshBatch(mesher_, [&](auto* gathered) NO_THREAD_SAFETY_ANALYSIS {
    began = os::MonotonicNs();
    p.each ? AddSpans(gathered) : AddGroups(gathered);
    planned = mesher_.planned();
  });
  if (planned > 0) {
    uint64_t ns = os::MonotonicNs() - began;
    NotePauseLocked(ns);
    AdaptBatch(ns, planned);
  }
  if (p.each) PayBack(&meshed);
  NoteBatchLocked(meshed);
  // Where groups are planned anew, another batch may still take mappings for a while.
  const bool has_stopped = budget_.is_exhausted() && (!p.each || p.next == first);
  const bool is_over = meshed.barrier_failed || has_stopped;
  lock_.Unlock();
  result->freed += size_t{meshed.pages_freed} << kPageShift;
  p.may_mesh_rest |= PriceOf(*p.heap) > 0 && meshed.pages_freed > 0;
  if (is_over) {
    p.next = p.steps();
    p.heap->NoteChanged();
  }
  return true;
}

void Compactor::NoteBatchLocked(const MeshResult& result) {
  statistics_.spans_meshed += result.spans_freed;
  statistics_.pages_meshed += result.pages_freed;
  statistics_.moves_failed += result.moves_failed;
  statistics_.barrier_failed += result.barrier_failed ? 1 : 0;
}

void Compactor::NotePass(bool is_limited) {
  uint64_t pages = 0;
  ForEachHeap([&](SizeClassHeap& heap) { pages += heap.statistics().meshed_pages; });
  MutexLock lock(lock_);
  if (is_limited) statistics_.mappings_refused++;
  if (pages > statistics_.pages_saved_peak) statistics_.pages_saved_peak = pages;
}

void Compactor::NotePauseLocked(uint64_t ns) {
  if (ns > statistics_.longest_pause_ns) statistics_.longest_pause_ns = ns;
  uint32_t bucket = static_cast<uint32_t>(std::bit_width(ns / 1000));
  statistics_.pauses[bucket < kPauseBuckets ? bucket : kPauseBuckets - 1]++;
}

CompactorStatistics Compactor::statistics() {
  MutexLock lock(lock_);
  CompactorStatistics result = statistics_;
  result.longest_wait_ns = meter_.longest_ns();
  for (size_t i = 0; i < kPauseBuckets; i++) result.waits[i] = meter_.count(i);
  return result;
}

}  // namespace mesh
