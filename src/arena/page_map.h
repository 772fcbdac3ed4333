// PageMap: from an address to what its page holds, by arithmetic and two loads.
//
//   address  | 47 ........ 30 | 29 ........ 12 | 11 .... 0 |
//              window of 1 GiB   page in window   byte
//   entries_of_[window] -> PageEntry[page]        0: not ours, or not in use
//   index_of_[window]   -> segment, whose records[page] describes the span that starts at page
//
// A process has one address space, so it has one PageMap: its tables are static, and every arena
// (tests make several) enters its segments here.
// Room: arena; above base, sizeclass, os. Thread rule: readers need no lock; writers hold the arena
// lock. An entry changes only while no thread holds an object in that page.
//
// [PM1] The first and the last page of whatever is in use have an entry; free pages have none.
// [PM2] A window belongs to at most one segment; segments are never taken out, except huge ones.
// [PM3] Where states are kept, those of all committed pages of small segments are there, 0 at
// first.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>

#include "src/base/check.h"
#include "src/base/units.h"
#include "src/sizeclass/size_class.h"

namespace mesh {

// Names a span: segment index << kWindowPageShift | index of its first page. 0 is none.
using SpanId = uint32_t;
inline constexpr SpanId kNoSpan = 0;

inline constexpr size_t kWindowShift = 30;
inline constexpr size_t kWindowSize = size_t{1} << kWindowShift;
inline constexpr size_t kWindowPageShift = kWindowShift - kPageShift;
inline constexpr PageCount kWindowPages = PageCount{1} << kWindowPageShift;
// User addresses have 47 bits on x86-64 (48 on aarch64) unless a program asks the kernel for more.
inline constexpr size_t kAddressBits = 48;
inline constexpr size_t kUnusedBits = 64 - kAddressBits;
inline constexpr size_t kWindowCount = size_t{1} << (kAddressBits - kWindowShift);
inline constexpr size_t kMaxSegments = size_t{1} << (32 - kWindowPageShift);

// What one page holds: its size class, and which page of its span it is. Large objects have entries
// for their first page (page in span 0) and their last one (kLastPage) only.
class PageEntry {
 public:
  constexpr PageEntry() = default;
  constexpr PageEntry(SizeClass size_class, PageIndex page_in_span)
      : bits_(static_cast<uint16_t>(size_class << kPlaceBits | (page_in_span & kLastPage))) {}

  static constexpr PageIndex kLastPage = (1 << kPlaceBits) - 1;
  // Of kReservedClass: the guard before a span or large object, that behind it, and the first and
  // last page of a run that rests.
  static constexpr PageIndex kGuardBefore = kLastPage - 2;
  static constexpr PageIndex kGuardBehind = kLastPage - 1;
  static constexpr PageIndex kResting = kLastPage;

  // What bits() says.
  static constexpr PageEntry Of(uint32_t bits) {
    PageEntry entry;
    entry.bits_ = static_cast<uint16_t>(bits);
    return entry;
  }

  constexpr SizeClass size_class() const { return static_cast<SizeClass>(bits_ >> kPlaceBits); }
  constexpr PageIndex page_in_span() const { return bits_ & kLastPage; }
  constexpr bool is_empty() const { return bits_ == 0; }
  // size class << kPlaceBits | page in span.
  constexpr uint16_t bits() const { return bits_; }
  // The same of page 0.
  constexpr uint32_t class_bits() const { return bits_ & ~uint32_t{kLastPage}; }

 private:
  uint16_t bits_ = 0;
};
static_assert(sizeof(PageEntry) == 2);

// Bytes of a slot of a page with the entry of a size class.
MESH_ALWAYS_INLINE uint32_t SlotSizeOf(PageEntry entry) {
  // kSizeClasses[entry.size_class()], whose infos are as long as the classes are apart in entries.
  static_assert(sizeof(SizeClassInfo) == 1 << kPlaceBits);
  auto* info = reinterpret_cast<const char*>(kSizeClasses.data()) + entry.class_bits();
  return reinterpret_cast<const SizeClassInfo*>(info)->size;
}

// 16 bytes of metadata for the span (or free run) that starts at a page; what they hold is known
// from the page entry: MiniHeap, FreeRun, or LargeObject, which takes the record behind as well.
struct alignas(16) SpanRecord {
  unsigned char bytes[16];
};
// 16 bytes more for a page of a small segment, in a table of their own: how a span hangs together
// with others. Most do not, and then these are zeros that nobody has ever written: they have no
// memory.
struct alignas(16) SpanLinks {
  unsigned char bytes[16];
};

struct Segment {
  uintptr_t base = 0;
  PageCount pages = 0;      // reserved; at most kWindowPages unless huge
  PageCount committed = 0;  // [base, base + committed pages) is readable and writable
  uint32_t index = 0;
  bool small = false;  // holds spans of size classes; otherwise large objects
  std::atomic<PageEntry>* entries = nullptr;
  SpanRecord* records = nullptr;  // usable for the committed pages
  SpanLinks* links = nullptr;     // the same; null where there are no size classes
  // A byte for each 16 of the committed pages of a small segment; null unless they are kept.
  std::atomic<uint8_t>* states = nullptr;
  uintptr_t metadata = 0;    // the mapping that entries, records and links lie in
  size_t metadata_size = 0;  // its bytes
  size_t huge_reserved = 0;  // bytes reserved at base, for a huge segment
  Segment* next = nullptr;   // in the list of huge segments to use again
};

class PageMap {
 public:
  // The entry of the page that `address` lies in; empty for memory that is not ours. The bits above
  // kAddressBits are taken for zeros: no memory is where they are not, so a caller that looks at
  // what lies there before it changes anything ends by a fault.
  static MESH_ALWAYS_INLINE PageEntry FindBelow(uintptr_t address) {
    uintptr_t page = address << kUnusedBits >> (kUnusedBits + kPageShift);
    // order: acquire; pairs with the release in Enter(). The entries that it leads to are visible.
    uintptr_t zeroth = entries_of_[page >> kWindowPageShift].load(std::memory_order_acquire);
    if (MESH_UNLIKELY(zeroth == 0)) return PageEntry();
    // order: relaxed; whoever holds an object got its address from a thread that saw the entry.
    return reinterpret_cast<const std::atomic<PageEntry>*>(zeroth)[page].load(
        std::memory_order_relaxed);
  }

  // The same for any address.
  static PageEntry Find(uintptr_t address) {
    return address >> kAddressBits == 0 ? FindBelow(address) : PageEntry();
  }

  // The segment that an address of ours lies in.
  static const Segment& SegmentAt(uintptr_t address) {
    return *segments_[index_of_[address >> kWindowShift]];
  }

  // The byte kept for the 16 bytes at `address`, which lies in a small segment; [PM3].
  static MESH_ALWAYS_INLINE std::atomic<uint8_t>* StateOf(uintptr_t address) {
    // order: relaxed; whoever holds an object got its address from a thread that saw the segment.
    const uintptr_t zeroth = states_of_[address >> kWindowShift].load(std::memory_order_relaxed);
    return reinterpret_cast<std::atomic<uint8_t>*>(zeroth + (address >> kStateShift));
  }
  static constexpr size_t kStateShift = 4;

  // Whether `address` lies in a segment of ours, in use or not.
  static bool Owns(uintptr_t address) {
    uintptr_t window = address >> kWindowShift;
    // order: acquire; as in Find().
    return window < kWindowCount && entries_of_[window].load(std::memory_order_acquire) != 0;
  }

  // The span that `address` lies in, given the entry of its page.
  static SpanId SpanOf(uintptr_t address, PageEntry entry) {
    uint32_t segment = index_of_[address >> kWindowShift];
    PageIndex page = static_cast<PageIndex>(address >> kPageShift) & (kWindowPages - 1);
    return (segment << kWindowPageShift) + page - entry.page_in_span();
  }

  static Segment& SegmentOf(SpanId id) { return *segments_[id >> kWindowPageShift]; }
  static PageIndex PageOf(SpanId id) { return id & (kWindowPages - 1); }
  static SpanId IdOf(const Segment& segment, PageIndex page) {
    return (segment.index << kWindowPageShift) + page;
  }
  static uintptr_t AddressOf(SpanId id) {
    return SegmentOf(id).base + (uintptr_t{PageOf(id)} << kPageShift);
  }
  // The record of the span, as what the caller knows it to be. T is trivial.
  template <typename T>
  static T* Record(SpanId id) {
    static_assert(sizeof(T) <= 2 * sizeof(SpanRecord));
    return reinterpret_cast<T*>(&SegmentOf(id).records[PageOf(id)]);
  }
  // The other way: the span whose record lies there, among those of a segment.
  static SpanId IdOfRecord(const void* record, uint32_t segment) {
    const Segment& here = *segments_[segment];
    return IdOf(here,
                static_cast<PageIndex>(static_cast<const SpanRecord*>(record) - here.records));
  }
  // The links of that span, whose segment is small.
  static SpanLinks* LinksOfRecord(const void* record, uint32_t segment) {
    const Segment& here = *segments_[segment];
    return here.links + (static_cast<const SpanRecord*>(record) - here.records);
  }

  // Writes the entries of a span of a size class: page i of the span gets i.
  static void SetSpan(SpanId id, PageCount pages, SizeClass size_class);
  // Marks the first and the last page of a large object, or of a run that one had.
  static void SetEnds(SpanId id, PageCount pages, SizeClass entry_class);
  // Empties the entries; [PM1].
  static void ClearSpan(SpanId id, PageCount pages);
  static void ClearLarge(SpanId id, PageCount pages);

  // Makes a segment known. Locks: the arena's.
  // Returns: false when kMaxSegments are there already, or the address is beyond kAddressBits.
  static bool Enter(Segment* segment);
  // Forgets a huge segment; nobody holds an object in it any more.
  static void Remove(Segment* segment);

 private:
  friend struct WindowLayout;  // tells other processes where the figures lie
  // Where the entry of page 0 of all memory would be, going by those of the window; 0: not ours.
  static std::array<std::atomic<uintptr_t>, kWindowCount> entries_of_;
  // The same of states.
  static std::array<std::atomic<uintptr_t>, kWindowCount> states_of_;
  static std::array<uint16_t, kWindowCount> index_of_;
  static std::array<Segment*, kMaxSegments> segments_;
  static uint32_t next_index_;
};

}  // namespace mesh
