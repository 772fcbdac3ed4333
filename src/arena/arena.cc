// See arena.h. Segments, spans, what goes back; objects are in arena_large.cc and arena_huge.cc,
// guards in arena_guards.cc, what rests in arena_resting.cc.
#include "src/arena/arena.h"

#include <algorithm>

#include "src/arena/metadata.h"
#include "src/base/check.h"
#include "src/os/memory.h"

namespace mesh {
namespace {

// Below this a segment is not worth its metadata.
constexpr PageCount kMinSegmentPages = 1024;
// Dirty pages that may wait for reuse in each kind of segment: this many, and a share of what is
// committed. Enough that a burst of spans that comes and goes costs no faults. Any span may have
// the pages of another, so they do not make the heap larger than it was; large objects' fit less
// often.
constexpr PageCount kSmallDirtyAllowance = 4096;
constexpr PageCount kLargeDirtyAllowance = 2048;
constexpr PageCount kSmallDirtyShare = 2;
constexpr PageCount kLargeDirtyShare = 4;

}  // namespace

bool Arena::MapMetadataLocked(Segment& segment, PageCount record_pages) {
  size_t entries = RoundUp(size_t{kWindowPages} * sizeof(PageEntry), kPageSize);
  size_t records = RoundUp(size_t{record_pages} * sizeof(SpanRecord), kPageSize);
  size_t links = segment.small ? RoundUp(size_t{record_pages} * sizeof(SpanLinks), kPageSize) : 0;
  // The pages between and behind stay PROT_NONE: guards.
  size_t size = entries + kPageSize + records + kPageSize + links + kPageSize;
  os::Result<uintptr_t> place = os::Reserve(size);
  if (!place.ok()) return false;
  if (!os::Commit(place.value, entries).ok()) {
    static_cast<void>(os::Unmap(place.value, size));
    return false;
  }
  segment.metadata = place.value;
  segment.metadata_size = size;
  segment.entries = reinterpret_cast<std::atomic<PageEntry>*>(place.value);
  uintptr_t next = place.value + entries + kPageSize;
  segment.records = reinterpret_cast<SpanRecord*>(next);
  next += records + kPageSize;
  segment.links = segment.small ? reinterpret_cast<SpanLinks*>(next) : nullptr;
  return true;
}

Segment* Arena::NewSegmentLocked(bool small, size_t pages, PageCount record_pages) {
  Segment* segment = free_huge_;
  if (segment != nullptr) {
    free_huge_ = segment->next;
  } else {
    segment = static_cast<Segment*>(AllocateMetadata(sizeof(Segment)));
    if (segment == nullptr) return nullptr;
  }
  size_t bytes = pages << kPageShift;
  os::Result<uintptr_t> place = os::ReserveAligned(bytes, kWindowSize);
  if (place.ok()) {
    segment->base = place.value;
    segment->pages = static_cast<PageCount>(pages);
    segment->committed = 0;
    segment->small = small;
    if (MapMetadataLocked(*segment, record_pages)) {
      if (PageMap::Enter(segment)) {
        statistics_.segments++;
        statistics_.reserved_bytes += bytes;
        statistics_.metadata_bytes += segment->metadata_size;
        return segment;
      }
      static_cast<void>(os::Unmap(segment->metadata, segment->metadata_size));
    }
    static_cast<void>(os::Unmap(place.value, bytes));
  }
  segment->next = free_huge_;
  free_huge_ = segment;
  return nullptr;
}

Segment* Arena::AddSegmentLocked(bool small, PageCount pages) {
  if (segment_count_ == kSegmentLimit) return nullptr;
  PageCount wanted = segment_pages_;
  while (wanted < pages) wanted *= 2;
  Segment* segment = nullptr;
  for (; segment == nullptr && wanted >= pages && wanted >= kMinSegmentPages; wanted /= 2) {
    segment = NewSegmentLocked(small, wanted, wanted);
  }
  if (segment == nullptr) return nullptr;
  if (small && keeps_states_ && !ReserveStatesLocked(*segment)) {
    segment->huge_reserved = size_t{segment->pages} << kPageShift;
    FreeHugeLocked(PageMap::IdOf(*segment, 0));
    return nullptr;
  }
  // Kernels without huge pages refuse, and lose nothing.
  if (small) {
    static_cast<void>(os::AdviseNoHugePage(segment->base, size_t{segment->pages} << kPageShift));
  }
  segments_[segment_count_++] = segment;
  return segment;
}

bool Arena::CommitLocked(Segment& segment, PageCount pages) {
  PageCount old = segment.committed;
  static_assert(sizeof(SpanRecord) == sizeof(SpanLinks));
  size_t had = RoundUp(old * sizeof(SpanRecord), kPageSize);
  size_t needs = RoundUp((size_t{old} + pages) * sizeof(SpanRecord), kPageSize);
  for (void* table : {static_cast<void*>(segment.records), static_cast<void*>(segment.links)}) {
    if (table == nullptr || needs == had) continue;
    if (!os::Commit(reinterpret_cast<uintptr_t>(table) + had, needs - had).ok()) return false;
  }
  if (segment.states != nullptr && !CommitStates(segment, pages)) return false;
  uintptr_t address = segment.base + (uintptr_t{old} << kPageShift);
  if (!os::Commit(address, size_t{pages} << kPageShift).ok()) return false;
  segment.committed += pages;
  statistics_.committed_bytes += size_t{pages} << kPageShift;
  HeapOf(segment.small).Give(PageMap::IdOf(segment, old), pages, false);
  if (segment.small || !guards_large_) NoteGrownLocked(segment.small, pages);
  return true;
}

void Arena::NoteGrownLocked(bool small, size_t pages) {
  grown_by_[small ? 1 : 0] += static_cast<PageCount>(pages);
  // order: relaxed; read by this thread, or a hint.
  has_grown_.store(true, std::memory_order_relaxed);
}

// One kind of segment has never been so large: what waits in the other goes back for it, so that
// the peak is that of what is used. It happens once for each page that is committed.
void Arena::MakeUp() {
  // order: relaxed; see NoteGrownLocked().
  if (!has_grown_.load(std::memory_order_relaxed)) return;
  TakeBackCached();
  MutexLock lock(lock_);
  has_grown_.store(false, std::memory_order_relaxed);
  if (grown_by_[1] > 0) {
    CoolDownTo(warm_pages_ - std::min(warm_pages_, grown_by_[1]));
    statistics_.purged_pages_total += PurgeWaitingLocked(grown_by_[1]);
  }
  for (bool small : {false, true}) {
    PageCount& grown_by = grown_by_[small ? 1 : 0];
    const PageCount most = grown_by < kReturnStep ? grown_by : kReturnStep;
    if (most > 0) statistics_.purged_pages_total += PurgeLocked(!small, 0, most);
    grown_by = 0;
  }
}

bool Arena::GrowLocked(bool small, PageCount pages) {
  PageCount step = static_cast<PageCount>(RoundUp(pages, kCommitStep));
  for (uint32_t i = segment_count_; i > 0; i--) {
    Segment& segment = *segments_[i - 1];
    if (segment.small != small || segment.pages - segment.committed < pages) continue;
    PageCount room = segment.pages - segment.committed;
    if (CommitLocked(segment, step < room ? step : room)) return true;
  }
  // The caller looks again, and is here again if that was too little.
  if (small && TakeBackWaitingLocked()) return true;
  Segment* segment = AddSegmentLocked(small, pages);
  if (segment == nullptr) return false;
  return CommitLocked(*segment, step < segment->pages ? step : segment->pages);
}

SpanId Arena::TakeLocked(bool small, PageCount pages, PageCount alignment_pages, bool* clean) {
  PageHeap& runs = HeapOf(small);
  SpanId id = runs.Take(pages, alignment_pages, clean);
  if (id != kNoSpan) return id;
  while (id == kNoSpan && GrowLocked(small, pages + alignment_pages - 1)) {
    id = runs.Take(pages, alignment_pages, clean);
  }
  return id;
}

SpanId Arena::AllocateSpan(SizeClass size_class, uint32_t units, SizeClass entry_class,
                           bool* dirty) {
  PageCount pages = kSizeClasses[size_class].unit_pages * units;
  bool clean = false;
  SpanId id = kNoSpan;
  {
    MutexLock lock(lock_);
    if (guards_spans_) id = TakeSpanLocked(pages, &clean);
    if (id == kNoSpan) id = TakeLocked(true, pages, 1, &clean);
    if (id != kNoSpan) PageMap::SetSpan(id, pages, entry_class);
  }
  *dirty = !clean;
  MakeUp();
  return id;
}

SpanId Arena::ReserveRun(PageCount least, PageCount* pages, bool* dirty) {
  bool clean = false;
  SpanId id = kNoSpan;
  {
    MutexLock lock(lock_);
    id = small_runs_.TakeDirty(least, pages);
    if (id == kNoSpan) id = TakeLocked(true, *pages, 1, &clean);
    if (id != kNoSpan) PageMap::SetSpan(id, *pages, kReservedClass);
  }
  *dirty = !clean;
  MakeUp();
  return id;
}

void Arena::FreeSpan(SpanId id, PageCount pages, bool dirty) {
  MutexLock lock(lock_);
  PageMap::ClearSpan(id, pages);
  if (!guards_spans_ || !KeepSpanLocked(id, pages, dirty)) small_runs_.Give(id, pages, dirty);
  if (dirty) LimitDirtyLocked(true, pages);
}

bool Arena::SeekSpan(SpanId* cursor, SizeClass size_class, PageCount* pages) {
  MutexLock lock(lock_);
  bool begun = *cursor == kNoSpan;
  for (uint32_t i = 0; i < segment_count_; i++) {
    const Segment& segment = *segments_[i];
    bool is_here = !begun && segment.index == *cursor >> kWindowPageShift;
    if (!segment.small || !(begun || is_here)) continue;
    for (PageIndex page = is_here ? PageMap::PageOf(*cursor) + 1 : 0; page < segment.committed;
         page++) {
      if (*pages > 0) {
        --*pages;
      } else if (page > 0) {
        *cursor = PageMap::IdOf(segment, page) - 1;
        return false;
      }
      // order: relaxed; entries of the class are ordered by its lock, others do not match.
      PageEntry entry = segment.entries[page].load(std::memory_order_relaxed);
      if (entry.size_class() == size_class && entry.page_in_span() == 0) {
        *cursor = PageMap::IdOf(segment, page);
        return true;
      }
    }
    begun = true;
  }
  *cursor = kNoSpan;
  return false;
}

PageCount Arena::DirtyLimitLocked(bool small) const {
  PageCount committed = static_cast<PageCount>(statistics_.committed_bytes >> kPageShift);
  return small ? kSmallDirtyAllowance + committed / kSmallDirtyShare
               : kLargeDirtyAllowance + committed / kLargeDirtyShare;
}

PageCount Arena::DirtyPagesLocked(bool small) const {
  return small ? small_runs_.dirty_pages() + waiting_dirty_
               : large_runs_.dirty_pages() + warm_pages_;
}

PageCount Arena::PurgeLocked(bool small, PageCount keep, PageCount most) {
  const PageCount others = DirtyPagesLocked(small) - HeapOf(small).dirty_pages();
  PageCount purged = HeapOf(small).Purge(keep - std::min(keep, others), most);
  const PageCount dirty = DirtyPagesLocked(small);
  if (small && dirty > keep && purged < most) {
    purged += PurgeWaitingLocked(std::min(dirty - keep, most - purged));
  }
  return purged;
}

void Arena::LimitDirtyLocked(bool small, PageCount given) {
  PageCount limit = DirtyLimitLocked(small);
  const PageCount dirty = DirtyPagesLocked(small);
  if (dirty <= limit) return;
  // order: relaxed; see set_defers_return() and has_excess().
  if (defers_return_.load(std::memory_order_relaxed) && dirty <= 2 * limit) {
    has_excess_.store(true, std::memory_order_relaxed);
    return;
  }
  // A step, so that whoever happens to free the page beyond the limit does not pay for all of them;
  // more than a step where as much has come.
  PageCount most = small ? kSmallLimitStep : kLargeLimitStep;
  if (given > most / 2) most = 2 * given;
  statistics_.purged_pages_total += PurgeLocked(small, limit / 2, most);
}

void Arena::ReturnExcess() {
  // order: relaxed; see has_excess().
  has_excess_.store(false, std::memory_order_relaxed);
  for (bool small : {true, false}) {
    PageCount limit = 0;
    PageCount dirty = 0;
    {
      MutexLock lock(lock_);
      limit = DirtyLimitLocked(small);
      dirty = DirtyPagesLocked(small);
    }
    if (dirty > limit) ReturnDownTo(small, limit / 2);
  }
}

size_t Arena::ReturnDownTo(bool small, PageCount keep, size_t most) {
  size_t returned = 0;
  while (returned < most) {
    MutexLock lock(lock_);
    PageCount pages = PurgeLocked(small, keep, kReturnStep);
    statistics_.purged_pages_total += pages;
    returned += pages;
    if (pages < kReturnStep) break;
  }
  return returned;
}

size_t Arena::Purge(size_t keep_bytes, size_t most_bytes) {
  TakeBackCached();
  {
    MutexLock lock(lock_);
    CoolDownTo(0);
  }
  PageCount keep = static_cast<PageCount>(keep_bytes >> kPageShift);
  size_t most = most_bytes >> kPageShift;
  return (ReturnDownTo(true, keep / 2, most) + ReturnDownTo(false, keep / 2, most)) << kPageShift;
}

PageCount Arena::UnusedPagesLocked(bool small) const {
  return small ? small_runs_.least_dirty_pages() + least_waiting_dirty_
               : large_runs_.least_dirty_pages();
}

size_t Arena::PurgeUnused(size_t most_bytes) {
  TakeBackCached();
  size_t pages = 0;
  for (bool small : {true, false}) {
    PageCount keep = 0;
    {
      MutexLock lock(lock_);
      if (!small) CoolDownTo(0);
      keep = DirtyPagesLocked(small) - (UnusedPagesLocked(small) + 1) / 2;
    }
    pages += ReturnDownTo(small, keep, most_bytes >> kPageShift);
    MutexLock lock(lock_);
    HeapOf(small).StartPeriod();
    if (small) least_waiting_dirty_ = waiting_dirty_;
  }
  return pages << kPageShift;
}

ArenaStatistics Arena::statistics() {
  MutexLock lock(lock_);
  ArenaStatistics result = statistics_;
  // Counted as objects until they are the arena's again.
  result.large_count -= cache_.runs();
  result.large_bytes -= size_t{cache_.pages()} << kPageShift;
  result.dirty_bytes = (size_t{DirtyPagesLocked(true)} + DirtyPagesLocked(false) + cache_.pages())
                       << kPageShift;
  return result;
}

void Arena::CheckInvariants() {
  MutexLock lock(lock_);
  small_runs_.CheckInvariants();
  large_runs_.CheckInvariants();
}

}  // namespace mesh
