// Size classes: which object size serves a request, and how a span of that size is cut.
//
// Three kinds share one table, in this order:
//   meshable  16, 32 ... 128, then eight sizes a doubling up to 3840: smaller than one page
//   whole     4096 ... 32768, eight sizes a doubling: never meshed (an object of a page and more
//             may be locked, protected or pinned by its owner; PLDI'19 s.4.1, docs/design.md)
//   pinned    512 ... 3072: as meshable in size, but never meshed; for alignments of 512 and more
// Waste inside an object is at most 12.5 % above 128 bytes; waste at a span's tail at most 1/32.
// A span is one unit long, or several: a heap of many spans has longer ones, so that meshing it
// costs fewer mappings. The slots of a unit are those of a span of one unit, one unit behind the
// other.
// Room: sizeclass; above base. Everything is computed at compile time.
//
// [SC1] Sizes rise within a kind; every size is a multiple of 16.
// [SC2] A slot starts at unit base + index * size, so its alignment is that of `size` up to a page.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "src/base/bitmap.h"
#include "src/base/check.h"
#include "src/base/units.h"

namespace mesh {

// Index of a size class. 0 is no class: a page that holds no object.
using SizeClass = uint8_t;

inline constexpr SizeClass kNoClass = 0;
// Smallest alignment of every object [bytes]; that of max_align_t.
inline constexpr size_t kMinAlignment = 16;
// Largest request that is served from a span with other objects [bytes].
inline constexpr size_t kMaxSmallSize = 32 * kKiB;
// From this alignment on, objects are placed in spans that are never meshed [bytes]: buffers of
// O_DIRECT reads are aligned to 512 and more, and no write barrier stops the device.
inline constexpr size_t kPinnedAlignment = 512;

// Pages of the longest span that is meshed, if its bitmap has room for that many slots: what one
// mapping can save at most, against how seldom two spans of many slots are disjoint.
inline constexpr size_t kMaxMeshablePages = 16;

struct SizeClassInfo {
  uint32_t size = 0;        // bytes of a slot
  uint16_t unit_pages = 0;  // pages of a unit: the shortest span
  uint16_t slots = 0;       // slots of a unit, <= Bitmap::kBits
  uint8_t max_units = 1;    // units that a span may have, a power of two
  bool meshable = false;
  uint8_t bin_shift = 0;   // slots >> bin_shift is at most 8, for bins by occupancy
  uint16_t unit_tail = 0;  // bytes of a unit behind its last slot
  // What replaces divisions on the paths of refills and frees: ceil(2^64 / size),
  // ceil(2^24 / slots) and ceil(2^16 / unit_pages).
  uint64_t size_reciprocal = 0;
  uint32_t slots_reciprocal = 0;
  uint32_t pages_reciprocal = 0;

  // x / slots, for x up to Bitmap::kBits.
  constexpr uint32_t DividedBySlots(uint32_t x) const {
    return static_cast<uint32_t>((uint64_t{x} * slots_reciprocal) >> 24);
  }
  // page / unit_pages, for the pages of a span.
  constexpr uint32_t DividedByUnitPages(uint32_t page) const {
    return (page * pages_reciprocal) >> 16;
  }
};

namespace internal {

inline constexpr int kMeshableClasses = 8 + 4 * 8 + 7;
inline constexpr int kWholeClasses = 1 + 3 * 8;
inline constexpr int kPinnedClasses = 5;

// Slots that a span should have at least: eight while objects are smaller than a page, so that
// meshing has something to win; then as many as fit 32 KiB.
constexpr size_t MinSlots(size_t size) {
  if (size < kPageSize) return 8;
  return kMaxSmallSize / size > 0 ? kMaxSmallSize / size : 1;
}

constexpr SizeClassInfo Cut(size_t size, bool meshable) {
  SizeClassInfo info;
  info.size = static_cast<uint32_t>(size);
  info.meshable = meshable;
  for (size_t pages = 1;; pages++) {
    size_t bytes = pages * kPageSize;
    size_t slots = bytes / size;
    if (slots < MinSlots(size)) continue;
    if ((bytes - slots * size) * 32 > bytes) continue;
    info.unit_pages = static_cast<uint16_t>(pages);
    info.slots = static_cast<uint16_t>(slots);
    break;
  }
  size_t most = meshable ? kMaxMeshablePages / info.unit_pages : 1;
  if (most > Bitmap::kBits / info.slots) most = Bitmap::kBits / info.slots;
  while (size_t{info.max_units} * 2 <= most) info.max_units *= 2;
  while (info.slots >> info.bin_shift > 8) info.bin_shift++;
  info.unit_tail = static_cast<uint16_t>(info.unit_pages * kPageSize - info.slots * size);
  info.size_reciprocal = UINT64_MAX / size + 1;
  info.slots_reciprocal = ((1u << 24) + info.slots - 1) / info.slots;
  info.pages_reciprocal = ((1u << 16) + info.unit_pages - 1u) / info.unit_pages;
  return info;
}

}  // namespace internal

// One past the last class that spans are cut for.
inline constexpr SizeClass kClassCount =
    1 + internal::kMeshableClasses + internal::kWholeClasses + internal::kPinnedClasses;
inline constexpr SizeClass kFirstPinnedClass =
    1 + internal::kMeshableClasses + internal::kWholeClasses;
// The class of page entries of large objects: a run of pages of their own.
inline constexpr SizeClass kLargeClass = kClassCount;
// The class of page entries that a size class has taken for spans to come.
inline constexpr SizeClass kReservedClass = kClassCount + 1;
// The class of page entries of spans that belong to a heap of the program: whose it is, and what
// size its slots have, is in the span's record. No thread's vector has room for them.
inline constexpr SizeClass kProgramHeapClass = kClassCount + 2;
// One past everything that a page entry may say.
inline constexpr SizeClass kEntryClassCount = kClassCount + 3;
// Bits of a page entry below the class: which page of its span it is.
inline constexpr int kPlaceBits = 5;

namespace internal {

constexpr std::array<SizeClassInfo, kClassCount> MakeTable() {
  std::array<SizeClassInfo, kClassCount> table{};
  size_t next = 1;
  for (size_t size = 16; size <= 128; size += 16) table[next++] = Cut(size, true);
  for (size_t base = 128; base < kMaxSmallSize; base *= 2) {
    for (size_t step = 1; step <= 8; step++) {
      size_t size = base + step * base / 8;
      table[next++] = Cut(size, size < kPageSize);
    }
  }
  for (size_t size : {512, 1024, 1536, 2048, 3072}) table[next++] = Cut(size, false);
  return table;
}

}  // namespace internal

inline constexpr std::array<SizeClassInfo, kClassCount> kSizeClasses = internal::MakeTable();
static_assert(kSizeClasses[kFirstPinnedClass - 1].size == kMaxSmallSize);
static_assert(kSizeClasses[kClassCount - 1].size == 3072);

namespace internal {

// Requests up to kFineLimit are looked up in steps of 16 bytes, larger ones in steps of 128: every
// class size above 1024 is a multiple of 128.
inline constexpr size_t kFineLimit = 1024;

constexpr SizeClass SearchClass(size_t size) {
  SizeClass c = 1;
  while (kSizeClasses[c].size < size) c++;
  return c;
}

constexpr auto MakeFine() {
  std::array<SizeClass, kFineLimit / 16 + 1> fine{};
  for (size_t i = 0; i < fine.size(); i++) fine[i] = SearchClass(i * 16);
  return fine;
}

constexpr auto MakeCoarse() {
  std::array<SizeClass, kMaxSmallSize / 128 + 1> coarse{};
  for (size_t i = 0; i < coarse.size(); i++) coarse[i] = SearchClass(i * 128);
  return coarse;
}

inline constexpr auto kFine = MakeFine();
inline constexpr auto kCoarse = MakeCoarse();

}  // namespace internal

// The upper half of the product.
constexpr uint32_t MultiplyHigh(uint64_t a, uint64_t b) {
  __extension__ using Product = unsigned __int128;
  return static_cast<uint32_t>((Product{a} * b) >> 64);
}

// The class of the smallest size that holds `size` bytes; size <= kMaxSmallSize. malloc(0) is 16.
constexpr SizeClass ClassFor(size_t size) {
  if (size <= internal::kFineLimit) return internal::kFine[(size + 15) / 16];
  return internal::kCoarse[(size + 127) / 128];
}

// AlignedClassFor() for alignments from kPinnedAlignment to a page.
SizeClass PinnedClassFor(size_t size, size_t alignment);

// The class for `size` bytes at `alignment`, a power of two; kNoClass if no span can serve it, and
// it has to be a large object.
// Sizes rise in steps that are powers of two. The multiple of the alignment that `size` is rounded
// to is a class's size where the alignment is a step or more; where it is less, every size is a
// multiple of it.
constexpr SizeClass AlignedClassFor(size_t size, size_t alignment) {
  if (size > kMaxSmallSize || alignment > kPageSize) return kNoClass;
  if (alignment >= kPinnedAlignment) return PinnedClassFor(size, alignment);
  return ClassFor(RoundUp(size > 0 ? size : 1, alignment));
}

// What lies before a page of a span: the slots of the units before its own, and the bytes of its
// own.
struct PagePlace {
  uint32_t slots = 0;
  uint32_t bytes = 0;
};

constexpr PagePlace PlaceOfPage(const SizeClassInfo& info, uint32_t page) {
  uint32_t unit = page < info.unit_pages ? 0 : info.DividedByUnitPages(page);
  return {unit * info.slots, (page - unit * info.unit_pages) << kPageShift};
}

// Whether a slot starts at `offset`, below slots * size, from its unit's base; *slot is the one
// within the unit.
constexpr bool FindSlot(uint64_t size_reciprocal, size_t offset, SlotIndex* slot) {
  // The quotient, and behind the point what the rounding of the reciprocal adds to a multiple of
  // the size; a remainder adds at least one reciprocal.
  *slot = MultiplyHigh(offset, size_reciprocal);
  return offset * size_reciprocal < size_reciprocal;
}

// What stands for a division where one multiplication of 32 bits has to do: ceil(2^32 / size).
namespace internal {

constexpr auto MakeShortReciprocals() {
  std::array<uint32_t, kClassCount> reciprocals{};
  for (SizeClass c = 1; c < kClassCount; c++) {
    reciprocals[c] = UINT32_MAX / kSizeClasses[c].size + 1;
  }
  return reciprocals;
}

inline constexpr auto kShortReciprocals = MakeShortReciprocals();

}  // namespace internal

constexpr uint32_t ShortReciprocal(SizeClass size_class) {
  return internal::kShortReciprocals[size_class];
}

namespace internal {

// Pages that any span has at most.
inline constexpr uint32_t kMaxSpanPages = kMaxMeshablePages;
static_assert(kMaxSpanPages < 1 << kPlaceBits);

constexpr auto MakePhases() {
  std::array<uint32_t, size_t{kClassCount} << kPlaceBits> phases{};
  for (SizeClass c = 1; c < kClassCount; c++) {
    const SizeClassInfo& info = kSizeClasses[c];
    for (uint32_t page = 0; page < uint32_t{info.unit_pages} * info.max_units; page++) {
      phases[size_t{c} << kPlaceBits | page] = PlaceOfPage(info, page).bytes * ShortReciprocal(c);
    }
  }
  return phases;
}

// For a page of a span, by PageEntry::bits(): where in its unit it starts, in the fixed-point slots
// that ShortReciprocal() counts in.
inline constexpr auto kPhases = MakePhases();

}  // namespace internal

// Whether a slot starts at `address`, in the page whose PageEntry::bits() are `place`; `reciprocal`
// is the class's. What is left of a unit behind its last slot passes for one.
// The product's lower half is how far the address lies behind a slot's start, r * reciprocal, plus
// what rounding up the reciprocal has added: at most the offset, 64 KiB, which is less than any
// reciprocal.
MESH_ALWAYS_INLINE bool IsSlotStart(uintptr_t address, uint32_t place, uint32_t reciprocal) {
  uint32_t in_page = static_cast<uint32_t>(address) & (kPageSize - 1);
  return in_page * reciprocal + internal::kPhases[place] < reciprocal;
}
static_assert(ShortReciprocal(kFirstPinnedClass - 1) > (internal::kMaxSpanPages << kPageShift));

// The slot of a span in which the byte at `offset` from its base lies; in a unit's tail, one that
// lies elsewhere.
constexpr SlotIndex SlotAt(const SizeClassInfo& info, size_t offset) {
  PagePlace before = PlaceOfPage(info, static_cast<uint32_t>(offset >> kPageShift));
  return before.slots + MultiplyHigh(before.bytes + offset % kPageSize, info.size_reciprocal);
}

// Where a slot starts, from its span's base [bytes].
constexpr size_t OffsetOf(const SizeClassInfo& info, SlotIndex slot) {
  if (slot < info.slots) return size_t{slot} * info.size;
  return size_t{slot} * info.size + info.DividedBySlots(slot) * size_t{info.unit_tail};
}

}  // namespace mesh
