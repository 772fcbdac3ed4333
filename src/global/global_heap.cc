// See global_heap.h.
#include "src/global/global_heap.h"

#include <algorithm>

#include "src/base/check.h"
#include "src/os/process.h"

namespace mesh {
namespace {

// Looks of the packer for one size class. Brief: a millisecond at most. Otherwise tens of thousands
// of spans are tried all against all; in slices, where nobody waits for it.
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
  const SpanId id = PageMap::SpanOf(address, entry);
  if (entry.page_in_span() != 0 || address % kPageSize != PageMap::Record<LargeObject>(id)->shift) {
    FatalAt("free of a pointer into the middle of an object", object);
  }
  return id;
}

}  // namespace

GlobalHeap::GlobalHeap()
    : mesher_(backing_, barrier_, budget_),
      releaser_(arena_, budget_),
      program_heaps_(arena_, backing_, releaser_, heaps_),
      compactor_(heaps_, program_heaps_.classes(), arena_, mesher_, barrier_, budget_) {
  for (SizeClass c = 1; c < kClassCount; c++) {
    size_class_heap(c).Init(c, &arena_, &backing_, &releaser_);
    size_class_heap(c).pending().Init(pending_frees_[c - 1]);
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

SizeClassHeap& GlobalHeap::HeapOf(const MiniHeap& span) {
  if (PageMap::Find(span.address()).size_class() != kProgramHeapClass) {
    return size_class_heap(span.size_class());
  }
  SizeClassHeap* heap = program_heaps_.ClassOf(span);
  MESH_CHECK(heap != nullptr);
  return *heap;
}

// A guard has to lie behind the last page that was asked for.
size_t GlobalHeap::PagesOfLarge(size_t bytes) const {
  const size_t pages = PagesFor(bytes > 0 ? bytes : 1);
  return arena_.guards_large() ? pages : RoundLarge(pages);
}

size_t GlobalHeap::AlignmentOfLarge(size_t pages) const {
  return arena_.guards_large() ? kPageSize : AlignmentOf(pages);
}

void* GlobalHeap::AllocateLarge(size_t size, size_t alignment, bool zeroed, size_t shift,
                                size_t room) {
  if (size > PTRDIFF_MAX) return nullptr;
  size_t pages = PagesOfLarge(size + shift);
  SpanId id = arena_.AllocateLarge(pages, std::max(alignment, AlignmentOfLarge(pages)), zeroed,
                                   room >> kPageShift);
  if (id == kNoSpan) return nullptr;
  PageMap::Record<LargeObject>(id)->shift = static_cast<uint16_t>(shift);
  PageMap::Record<LargeObject>(id)->size = 0;
  return reinterpret_cast<void*>(PageMap::AddressOf(id) + shift);
}

void* GlobalHeap::AllocateLargeIn(ProgramHeap* heap, uint32_t generation, size_t size,
                                  size_t alignment, bool zeroed, bool* is_over) {
  void* object = AllocateLarge(size, alignment, zeroed);
  if (object == nullptr) return nullptr;
  *is_over = !program_heaps_.AdoptLarge(heap, generation, IdOfLarge(object));
  if (!*is_over) return object;
  FreeLarge(object);
  return nullptr;
}

void GlobalHeap::FreeLarge(void* object) {
  SpanId id = IdOfLarge(object);
  program_heaps_.ForgetLarge(id);
  arena_.FreeLarge(id);
}

void* GlobalHeap::ResizeLarge(void* object, size_t size) {
  if (size > PTRDIFF_MAX) return nullptr;
  SpanId id = IdOfLarge(object);
  const size_t shift = PageMap::Record<LargeObject>(id)->shift;
  size_t old_pages = PageMap::Record<LargeObject>(id)->pages;
  size_t pages = PagesOfLarge(size + shift);
  if (pages == old_pages) return object;
  if (!arena_.ResizeLarge(id, pages)) {
    // Smaller, but it cannot be cut: it is copied by the caller. Larger: its pages move.
    if (pages < old_pages || old_pages < kPagesToMove) return nullptr;
    const size_t room = GuardedRoom(pages << kPageShift) >> kPageShift;
    if (!arena_.guards_large()) pages = RoundLarge(pages + pages / kRoomShare);
    SpanId to = arena_.AllocatePlace(pages, AlignmentOfLarge(pages), room);
    if (to == kNoSpan) return nullptr;
    PageMap::Record<LargeObject>(to)->shift = static_cast<uint16_t>(shift);
    program_heaps_.ReplaceLarge(id, to);
    if (!arena_.MoveLarge(id, to)) {
      program_heaps_.ReplaceLarge(to, id);
      arena_.FreeLarge(to);
      return nullptr;
    }
    object = reinterpret_cast<void*>(PageMap::AddressOf(to) + shift);
  }
  return object;
}

bool GlobalHeap::ExpandLarge(void* object, size_t size) {
  if (size > PTRDIFF_MAX) return false;
  SpanId id = IdOfLarge(object);
  size_t old_pages = PageMap::Record<LargeObject>(id)->pages;
  size_t pages = PagesOfLarge(size + PageMap::Record<LargeObject>(id)->shift);
  if (pages <= old_pages) return true;
  return arena_.ResizeLarge(id, pages);
}

LargeObject* GlobalHeap::LargeRecord(const void* object) {
  return PageMap::Record<LargeObject>(IdOfLarge(object));
}

size_t GlobalHeap::LargeSize(const void* object) {
  const LargeObject* large = LargeRecord(object);
  return large->bytes() - large->shift;
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
  released += program_heaps_.ReleaseFreeSlots(nullptr);
  return released + arena_.Purge(0);
}

size_t GlobalHeap::RunToTheEnd(uint16_t program_heap) {
  PassLimits limits;
  limits.looks_per_class = kThoroughLooks;
  limits.every_class = true;
  limits.program_heap = program_heap;
  size_t freed = 0;
  // What one pass leaves for want of mappings, the next may find some for.
  for (int pass = 0; pass < kMostPasses; pass++) {
    PassResult result = compactor_.Run(limits, true);
    freed += result.freed;
    if (result.freed == 0 || !result.is_limited) break;
  }
  return freed;
}

size_t GlobalHeap::Compact() {
  size_t folded = 0;
  if (backing_.has_private_views()) folded = compactor_.Fold(PassLimits(), true);
  // What waits to be handed out would be copied, and keep its spans.
  size_t released = program_heaps_.ReleaseFreeSlots(nullptr);
  size_t freed = RunToTheEnd(0);
  return freed + released + (folded << kPageShift) + Scavenge();
}

size_t GlobalHeap::CompactHeap(const ProgramHeap* heap, bool meshes) {
  size_t released = program_heaps_.ReleaseFreeSlots(heap);
  if (meshes) released += RunToTheEnd(heap->id());
  return released + arena_.Purge(0);
}

PassResult GlobalHeap::CompactBriefly(uint64_t deadline_ns, TimeOf whose, bool keeps_recent) {
  PassLimits limits;
  limits.deadline_ns = deadline_ns;
  limits.looks_per_class = whose == TimeOf::kWorker ? kBriefLooks : kThoroughLooks;
  limits.look_again = whose == TimeOf::kWorker;
  limits.gives_way = whose == TimeOf::kBackground;
  limits.keeps_recent = keeps_recent;
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

bool GlobalHeap::FoldBriefly(uint64_t deadline_ns, TimeOf whose) {
  if (!backing_.has_private_views()) return false;
  PassLimits limits;
  limits.deadline_ns = deadline_ns;
  limits.gives_way = whose == TimeOf::kBackground;
  return compactor_.Fold(limits, false) > 0;
}

}  // namespace mesh
