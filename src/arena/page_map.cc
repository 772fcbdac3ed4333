// See page_map.h.
#include "src/arena/page_map.h"

namespace mesh {

constinit std::array<std::atomic<uintptr_t>, kWindowCount> PageMap::entries_of_{};
constinit std::array<std::atomic<uintptr_t>, kWindowCount> PageMap::states_of_{};
constinit std::array<uint16_t, kWindowCount> PageMap::index_of_{};
constinit std::array<Segment*, kMaxSegments> PageMap::segments_{};
// Index 0 stays unused, so that no span is called kNoSpan.
constinit uint32_t PageMap::next_index_ = 1;

void PageMap::SetSpan(SpanId id, PageCount pages, SizeClass size_class) {
  std::atomic<PageEntry>* entries = SegmentOf(id).entries + PageOf(id);
  for (PageIndex i = 0; i < pages; i++) {
    // order: relaxed; see Find().
    entries[i].store(PageEntry(size_class, i), std::memory_order_relaxed);
  }
}

void PageMap::SetEnds(SpanId id, PageCount pages, SizeClass entry_class) {
  std::atomic<PageEntry>* entries = SegmentOf(id).entries + PageOf(id);
  // order: relaxed; see Find().
  entries[pages - 1].store(PageEntry(entry_class, PageEntry::kLastPage), std::memory_order_relaxed);
  entries[0].store(PageEntry(entry_class, 0), std::memory_order_relaxed);
}

void PageMap::ClearLarge(SpanId id, PageCount pages) {
  ClearSpan(id, 1);
  ClearSpan(id + pages - 1, 1);
}

void PageMap::ClearSpan(SpanId id, PageCount pages) {
  std::atomic<PageEntry>* entries = SegmentOf(id).entries + PageOf(id);
  for (PageIndex i = 0; i < pages; i++) {
    // order: relaxed; see Find().
    entries[i].store(PageEntry(), std::memory_order_relaxed);
  }
}

bool PageMap::Enter(Segment* segment) {
  uintptr_t window = segment->base >> kWindowShift;
  if (window >= kWindowCount) return false;
  if (segment->index == 0) {
    if (next_index_ >= kMaxSegments) return false;
    segment->index = next_index_++;
  }
  segments_[segment->index] = segment;
  index_of_[window] = static_cast<uint16_t>(segment->index);
  // order: relaxed; the release below publishes it.
  states_of_[window].store(
      reinterpret_cast<uintptr_t>(segment->states) - (segment->base >> kStateShift),
      std::memory_order_relaxed);
  // order: release; pairs with the acquire in Find(). Publishes the segment and its empty entries.
  uintptr_t before = (segment->base >> kPageShift) * sizeof(PageEntry);
  entries_of_[window].store(reinterpret_cast<uintptr_t>(segment->entries) - before,
                            std::memory_order_release);
  return true;
}

void PageMap::Remove(Segment* segment) {
  // order: release; pairs with the acquire in Find().
  entries_of_[segment->base >> kWindowShift].store(0, std::memory_order_release);
}

}  // namespace mesh
