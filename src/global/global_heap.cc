// See global_heap.h.
#include "src/global/global_heap.h"

#include <algorithm>

#include "src/base/check.h"
#include "src/os/process.h"

namespace mesh {
namespace {

// Looks of the packer for one size class. Brief: half a millisecond. Otherwise tens of thousands of
// spans are tried all against all; in slices, where nobody waits for it.
constexpr uint64_t kBriefLooks = uint64_t{1} << 19;
constexpr uint64_t kThoroughLooks = uint64_t{1} << 27;

// Passes of one Compact() at most, while mappings run short.
constexpr int kMostPasses = 8;

// Spans of one length before a class makes spans of twice that length. A mapping costs about 3.3 us
// at a fork and a page about 0.1 us (docs/design.md, "fork"): so few that fork(2) takes at most
// twice as long as without meshing; or as many as the default max_map_count has room for, since
// short spans mesh best.
constexpr uint64_t kSpansPerLengthForking = 64;
constexpr PageCount kMaxSpanPagesForking = 4;

// Objects from this length on are moved by their page tables [pages]. That costs 50 us and more,
// and the old place its memory; copying 1 MiB costs about 100.
constexpr size_t kPagesToMove = 256;

// Objects from this length on lie at multiples of 64 KiB and fill such [pages]: what programs use
// of them at even steps comes to lie where the last one used it, in pages that are there, and their
// runs fit each other more often. What is added is address space, which no one touches.
constexpr size_t kPagesToAlign = 1024;
constexpr size_t kAlignedPages = 16;

size_t RoundLarge(size_t pages) {
  return pages < kPagesToAlign ? pages : RoundUp(pages, kAlignedPages);
}

size_t AlignmentOf(size_t pages) {
  return pages < kPagesToAlign ? kPageSize : kAlignedPages << kPageShift;
}

SpanId IdOfLarge(const void* object) {
  uintptr_t address = reinterpret_cast<uintptr_t>(object);
  PageEntry entry = PageMap::Find(address);
  if (entry.page_in_span() != 0 || address % kPageSize != 0) {
    FatalAt("free of a pointer into the middle of an object", object);
  }
  return PageMap::SpanOf(address, entry);
}

}  // namespace

GlobalHeap::GlobalHeap()
    : mesher_(backing_, barrier_, budget_),
      releaser_(arena_, budget_),
      compactor_(heaps_, arena_, mesher_, barrier_, budget_) {
  for (SizeClass c = 1; c < kClassCount; c++) {
    size_class_heap(c).Init(c, &arena_, &backing_, &releaser_);
  }
}

void GlobalHeap::ExpectForks(bool expected) {
  for (SizeClassHeap& heap : heaps_) {
    if (!expected) continue;
    heap.set_spans_per_length(kSpansPerLengthForking);
    heap.AllowSpanPages(kMaxSpanPagesForking);
  }
  backing_.set_private_views(expected);
  compactor_.set_spares_forks(expected);
}

void* GlobalHeap::AllocateLarge(size_t size, size_t alignment, bool zeroed) {
  if (size > PTRDIFF_MAX) return nullptr;
  size_t pages = RoundLarge(PagesFor(size > 0 ? size : 1));
  SpanId id = arena_.AllocateLarge(pages, std::max(alignment, AlignmentOf(pages)), zeroed);
  return id != kNoSpan ? reinterpret_cast<void*>(PageMap::AddressOf(id)) : nullptr;
}

void GlobalHeap::FreeLarge(void* object) { arena_.FreeLarge(IdOfLarge(object)); }

void* GlobalHeap::ResizeLarge(void* object, size_t size) {
  if (size > PTRDIFF_MAX) return nullptr;
  SpanId id = IdOfLarge(object);
  size_t old_pages = PageMap::Record<LargeObject>(id)->pages;
  size_t pages = RoundLarge(PagesFor(size));
  if (pages == old_pages) return object;
  if (!arena_.ResizeLarge(id, pages)) {
    // Smaller, but it cannot be cut: it is copied by the caller. Larger: its pages move.
    if (pages < old_pages || old_pages < kPagesToMove) return nullptr;
    pages = RoundLarge(pages + pages / kRoomShare);
    SpanId to = arena_.AllocateLarge(pages, AlignmentOf(pages), false);
    if (to == kNoSpan) return nullptr;
    if (!arena_.MoveLarge(id, to)) {
      arena_.FreeLarge(to);
      return nullptr;
    }
    object = reinterpret_cast<void*>(PageMap::AddressOf(to));
  }
  return object;
}

bool GlobalHeap::ExpandLarge(void* object, size_t size) {
  if (size > PTRDIFF_MAX) return false;
  SpanId id = IdOfLarge(object);
  size_t old_pages = PageMap::Record<LargeObject>(id)->pages;
  size_t pages = RoundLarge(PagesFor(size));
  return pages <= old_pages || arena_.ResizeLarge(id, pages);
}

size_t GlobalHeap::LargeSize(const void* object) {
  return PageMap::Record<LargeObject>(IdOfLarge(object))->pages << kPageShift;
}

void* GlobalHeap::AllocateDirect(SizeClass size_class) {
  void* object = nullptr;
  Random random(os::MonotonicNs());
  SizeClassHeap& heap = size_class_heap(size_class);
  heap.Refill(kDirectOwner, nullptr, random, SlotOrder::kRandomStart, &object, 1, 1);
  return object;
}

void GlobalHeap::FreeDirect(void* object, SizeClass size_class) {
  size_class_heap(size_class).Release(&object, 1, [] {});
}

size_t GlobalHeap::Scavenge() {
  size_t released = 0;
  for (SizeClassHeap& heap : heaps_) released += heap.ReleaseFreeSlots();
  return released + arena_.Purge(0);
}

size_t GlobalHeap::Compact() {
  PassLimits limits;
  limits.looks_per_class = kThoroughLooks;
  limits.every_class = true;
  size_t folded = 0;
  if (backing_.has_private_views()) folded = compactor_.Fold(UINT64_MAX, true);
  size_t freed = 0;
  // What one pass leaves for want of mappings, the next may find some for.
  for (int pass = 0; pass < kMostPasses; pass++) {
    PassResult result = compactor_.Run(limits, true);
    freed += result.freed;
    if (result.freed == 0 || !result.is_limited) break;
  }
  return freed + (folded << kPageShift) + Scavenge();
}

PassResult GlobalHeap::CompactBriefly(uint64_t deadline_ns, bool thorough) {
  PassLimits limits;
  limits.deadline_ns = deadline_ns;
  limits.looks_per_class = thorough ? kThoroughLooks : kBriefLooks;
  limits.look_again = !thorough;
  return compactor_.Run(limits, false);
}

void GlobalHeap::GiveUpDescriptors(unsigned int first, unsigned int last) {
  bool backing = backing_.OwnsDescriptorAmong(first, last);
  bool barrier = barrier_.OwnsDescriptorAmong(first, last);
  if (!backing && !barrier) return;
  // No mesh may be under way when its barrier goes.
  MutexLock lock(compactor_.lock());
  if (backing) backing_.GiveUpDescriptor();
  if (barrier) barrier_.DescriptorLost();
}

bool GlobalHeap::FoldBriefly(uint64_t deadline_ns) {
  return backing_.has_private_views() && compactor_.Fold(deadline_ns, false) > 0;
}

}  // namespace mesh
