// See page_heap.h.
#include "src/arena/page_heap.h"

#include <bit>
#include <climits>

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

// Pages from a span's to the next whose address is a multiple of the alignment.
PageCount PagesToAlignment(SpanId id, PageCount alignment_pages) {
  const uintptr_t page = PageMap::AddressOf(id) >> kPageShift;
  return static_cast<PageCount>(RoundUp(page, alignment_pages) - page);
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

void PageHeap::Insert(SpanId id, PageCount pages, bool dirty, PageCount there) {
  if (there > pages) there = pages;
  if (there == 0) there = 1;
  Bins& bins = BinsOf(dirty);
  int bin = BinOf(pages);
  FreeRun* run = PageMap::Record<FreeRun>(id);
  run->next = bins.heads[bin];
  run->previous = kNoSpan;
  run->pages = pages;
  run->dirty = dirty;
  run->SetThere(there);
  if (run->next != kNoSpan) PageMap::Record<FreeRun>(run->next)->previous = id;
  bins.heads[bin] = id;
  bins.occupied[bin / 64] |= uint64_t{1} << (bin % 64);
  if (pages > 1) {
    FreeRun* tail = PageMap::Record<FreeRun>(id + pages - 1);
    tail->pages = pages;
    tail->dirty = dirty;
  }
  (dirty ? dirty_pages_ : clean_pages_) += dirty ? there : pages;
}

void PageHeap::InsertPart(const FreeRun& run, SpanId id, PageCount pages) {
  if (pages == 0) return;
  Insert(id, pages, run.dirty, static_cast<PageCount>(uint64_t{run.there()} * pages / run.pages));
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
  (run->dirty ? dirty_pages_ : clean_pages_) -= run->dirty ? run->there() : run->pages;
}

bool PageHeap::Fits(SpanId id, PageCount pages, PageCount alignment_pages) {
  const PageCount length = PageMap::Record<FreeRun>(id)->pages;
  return length >= pages && PagesToAlignment(id, alignment_pages) <= length - pages;
}

// Runs in the bins between that of the length and that of the length that is enough at any place
// are looked at, those of one length only some.
SpanId PageHeap::FindRun(const Bins& bins, PageCount pages, PageCount alignment_pages) const {
  const int enough = BinOf(pages + alignment_pages - 1);
  int bin = NextOccupied(bins, BinOf(pages));
  for (; bin <= enough && bin < kBins; bin = NextOccupied(bins, bin + 1)) {
    int looks = bin < kExactBins ? kLooksAtOneLength : INT_MAX;
    for (SpanId id = bins.heads[bin]; id != kNoSpan && looks > 0; looks--) {
      if (Fits(id, pages, alignment_pages)) return id;
      id = PageMap::Record<FreeRun>(id)->next;
    }
  }
  return bin < kBins ? bins.heads[bin] : kNoSpan;
}

SpanId PageHeap::Take(PageCount pages, PageCount alignment_pages, bool* clean) {
  SpanId id = FindRun(dirty_, pages, alignment_pages);
  if (id == kNoSpan) id = FindRun(clean_, pages, alignment_pages);
  if (id == kNoSpan) return kNoSpan;
  FreeRun run = *PageMap::Record<FreeRun>(id);
  Remove(id);
  PageCount before = PagesToAlignment(id, alignment_pages);
  InsertPart(run, id, before);
  InsertPart(run, id + before + pages, run.pages - before - pages);
  NoteTaken();
  *clean = !run.dirty;
  return id + before;
}

SpanId PageHeap::TakeDirty(PageCount least, PageCount* pages) {
  SpanId id = FindRun(dirty_, *pages, 1);
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
    InsertPart(run, id + taken, run.pages - taken);
    id += taken;
    pages -= taken;
  }
  NoteTaken();
}

void PageHeap::Give(SpanId id, PageCount pages, bool dirty, PageCount there) {
  if (there > pages) there = pages;
  const Segment& segment = PageMap::SegmentOf(id);
  int64_t page = PageMap::PageOf(id);
  // The last page of a run tells its length, the first one all.
  if (const FreeRun* tail = RunAt(segment, page - 1); tail != nullptr && tail->dirty == dirty) {
    PageCount length = tail->pages;
    id -= length;
    pages += length;
    there += PageMap::Record<FreeRun>(id)->there();
    Remove(id);
  }
  const FreeRun* behind = RunAt(segment, int64_t{PageMap::PageOf(id)} + pages);
  if (behind != nullptr && behind->dirty == dirty) {
    PageCount length = behind->pages;
    there += behind->there();
    Remove(id + pages);
    pages += length;
  }
  Insert(id, pages, dirty, there);
}

PageCount PageHeap::Purge(PageCount keep, PageCount most) {
  PageCount purged = 0;
  while (dirty_pages_ > keep && purged < most) {
    int bin = kBins - 1;
    while (dirty_.heads[bin] == kNoSpan) bin--;
    SpanId id = dirty_.heads[bin];
    FreeRun run = *PageMap::Record<FreeRun>(id);
    PageCount pages = run.pages < most - purged ? run.pages : most - purged;
    if (!os::ReleasePages(PageMap::AddressOf(id), size_t{pages} << kPageShift).ok()) break;
    Remove(id);
    InsertPart(run, id + pages, run.pages - pages);
    Give(id, pages, false);
    purged += pages;
  }
  NoteTaken();
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
      MESH_CHECK(run->there() > 0 && run->there() <= run->pages);
      total += dirty ? run->there() : run->pages;
      id = run->next;
    }
  }
  MESH_CHECK(total == (dirty ? dirty_pages_ : clean_pages_));
}

void PageHeap::CheckInvariants() const {
  CheckBins(dirty_, true);
  CheckBins(clean_, false);
  MESH_CHECK(least_dirty_pages_ <= dirty_pages_);  // [PH4]
}

}  // namespace mesh
