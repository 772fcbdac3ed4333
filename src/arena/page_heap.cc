// See page_heap.h.
#include "src/arena/page_heap.h"

#include <bit>

#include "src/base/check.h"
#include "src/os/memory.h"

namespace mesh {
namespace {

// The free run that begins (or ends) at `page` of the segment, or null: out of the committed part,
// or in use.
FreeRun* RunAt(const Segment& segment, int64_t page) {
  if (page < 0 || page >= segment.committed) return nullptr;
  // order: relaxed; entries of free pages change under the arena's lock, which is held.
  if (!segment.entries[page].load(std::memory_order_relaxed).is_empty()) return nullptr;
  return PageMap::Record<FreeRun>(PageMap::IdOf(segment, static_cast<PageIndex>(page)));
}

}  // namespace

int PageHeap::BinOf(PageCount pages) {
  if (pages <= kExactBins) return static_cast<int>(pages) - 1;
  return kExactBins + std::bit_width(pages) - std::bit_width(PageCount{kExactBins});
}

int PageHeap::NextOccupied(const Bins& bins, int from) {
  if (from < 64) {
    uint64_t low = bins.occupied[0] >> from;
    if (low != 0) return from + std::countr_zero(low);
    from = 64;
  }
  if (from >= kBins) return kBins;
  uint64_t high = bins.occupied[1] >> (from - 64);
  return high != 0 ? from + std::countr_zero(high) : kBins;
}

void PageHeap::Insert(SpanId id, PageCount pages, bool dirty) {
  Bins& bins = BinsOf(dirty);
  int bin = BinOf(pages);
  FreeRun* run = PageMap::Record<FreeRun>(id);
  *run = {bins.heads[bin], kNoSpan, pages, dirty};
  if (run->next != kNoSpan) PageMap::Record<FreeRun>(run->next)->previous = id;
  bins.heads[bin] = id;
  bins.occupied[bin / 64] |= uint64_t{1} << (bin % 64);
  if (pages > 1) {
    FreeRun* tail = PageMap::Record<FreeRun>(id + pages - 1);
    tail->pages = pages;
    tail->dirty = dirty;
  }
  (dirty ? dirty_pages_ : clean_pages_) += pages;
}

void PageHeap::Remove(SpanId id) {
  FreeRun* run = PageMap::Record<FreeRun>(id);
  Bins& bins = BinsOf(run->dirty);
  int bin = BinOf(run->pages);
  if (run->next != kNoSpan) PageMap::Record<FreeRun>(run->next)->previous = run->previous;
  if (run->previous != kNoSpan) {
    PageMap::Record<FreeRun>(run->previous)->next = run->next;
  } else {
    bins.heads[bin] = run->next;
    if (run->next == kNoSpan) bins.occupied[bin / 64] &= ~(uint64_t{1} << (bin % 64));
  }
  (run->dirty ? dirty_pages_ : clean_pages_) -= run->pages;
}

SpanId PageHeap::FindRun(const Bins& bins, PageCount pages) const {
  int bin = BinOf(pages);
  if (bin >= kExactBins) {
    // Runs in this bin may be too short: take the first that is not.
    for (SpanId id = bins.heads[bin]; id != kNoSpan;) {
      const FreeRun* run = PageMap::Record<FreeRun>(id);
      if (run->pages >= pages) return id;
      id = run->next;
    }
    bin++;
  }
  bin = NextOccupied(bins, bin);
  return bin < kBins ? bins.heads[bin] : kNoSpan;
}

SpanId PageHeap::Take(PageCount pages, PageCount alignment_pages, bool* clean) {
  PageCount wanted = pages + alignment_pages - 1;
  SpanId id = FindRun(dirty_, wanted);
  if (id == kNoSpan) id = FindRun(clean_, wanted);
  if (id == kNoSpan) return kNoSpan;
  FreeRun run = *PageMap::Record<FreeRun>(id);
  Remove(id);
  uintptr_t alignment = uintptr_t{alignment_pages} << kPageShift;
  uintptr_t address = PageMap::AddressOf(id);
  PageCount before = static_cast<PageCount>((RoundUp(address, alignment) - address) >> kPageShift);
  PageCount behind = run.pages - before - pages;
  if (before > 0) Insert(id, before, run.dirty);
  if (behind > 0) Insert(id + before + pages, behind, run.dirty);
  *clean = !run.dirty;
  return id + before;
}

SpanId PageHeap::TakeDirty(PageCount least, PageCount* pages) {
  SpanId id = FindRun(dirty_, *pages);
  for (int bin = BinOf(*pages); id == kNoSpan && bin > 0; bin--) id = dirty_.heads[bin - 1];
  if (id == kNoSpan) return kNoSpan;
  FreeRun run = *PageMap::Record<FreeRun>(id);
  if (run.pages < least) return kNoSpan;
  if (run.pages < *pages) *pages = run.pages;
  TakeAt(id, *pages);
  return id;
}

PageCount PageHeap::FreePagesAt(SpanId id, PageCount limit) const {
  const Segment& segment = PageMap::SegmentOf(id);
  PageCount count = 0;
  while (count < limit) {
    const FreeRun* run = RunAt(segment, int64_t{PageMap::PageOf(id)} + count);
    if (run == nullptr) break;
    count += run->pages;
  }
  return count < limit ? count : limit;
}

void PageHeap::TakeAt(SpanId id, PageCount pages) {
  while (pages > 0) {
    FreeRun run = *PageMap::Record<FreeRun>(id);
    Remove(id);
    PageCount taken = run.pages < pages ? run.pages : pages;
    if (run.pages > taken) Insert(id + taken, run.pages - taken, run.dirty);
    id += taken;
    pages -= taken;
  }
}

void PageHeap::Give(SpanId id, PageCount pages, bool dirty) {
  const Segment& segment = PageMap::SegmentOf(id);
  int64_t page = PageMap::PageOf(id);
  const FreeRun* before = RunAt(segment, page - 1);
  if (before != nullptr && before->dirty == dirty) {
    PageCount length = before->pages;
    Remove(id - length);
    id -= length;
    pages += length;
  }
  const FreeRun* behind = RunAt(segment, int64_t{PageMap::PageOf(id)} + pages);
  if (behind != nullptr && behind->dirty == dirty) {
    PageCount length = behind->pages;
    Remove(id + pages);
    pages += length;
  }
  Insert(id, pages, dirty);
}

PageCount PageHeap::Purge(PageCount keep, PageCount most) {
  PageCount purged = 0;
  while (dirty_pages_ > keep && purged < most) {
    int bin = kBins - 1;
    while (dirty_.heads[bin] == kNoSpan) bin--;
    SpanId id = dirty_.heads[bin];
    PageCount whole = PageMap::Record<FreeRun>(id)->pages;
    PageCount pages = whole < most - purged ? whole : most - purged;
    if (!os::ReleasePages(PageMap::AddressOf(id), size_t{pages} << kPageShift).ok()) break;
    Remove(id);
    if (pages < whole) Insert(id + pages, whole - pages, true);
    Give(id, pages, false);
    purged += pages;
  }
  return purged;
}

void PageHeap::CheckBins(const Bins& bins, bool dirty) const {
  PageCount total = 0;
  for (int bin = 0; bin < kBins; bin++) {
    MESH_CHECK((bins.heads[bin] != kNoSpan) == ((bins.occupied[bin / 64] >> (bin % 64) & 1) != 0));
    for (SpanId id = bins.heads[bin]; id != kNoSpan;) {
      const FreeRun* run = PageMap::Record<FreeRun>(id);
      MESH_CHECK(run->dirty == dirty && BinOf(run->pages) == bin);
      const Segment& segment = PageMap::SegmentOf(id);
      int64_t page = PageMap::PageOf(id);
      for (PageIndex i = 0; i < run->pages; i++) MESH_CHECK(RunAt(segment, page + i) != nullptr);
      const FreeRun* behind = RunAt(segment, page + run->pages);
      MESH_CHECK(behind == nullptr || behind->dirty != dirty);  // [PH2]
      MESH_CHECK(PageMap::Record<FreeRun>(id + run->pages - 1)->pages == run->pages);
      total += run->pages;
      id = run->next;
    }
  }
  MESH_CHECK(total == (dirty ? dirty_pages_ : clean_pages_));
}

void PageHeap::CheckInvariants() const {
  CheckBins(dirty_, true);
  CheckBins(clean_, false);
}

}  // namespace mesh
