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
// In place of a size: the caller does not say which one the object has.
inline constexpr size_t kAnySize = SIZE_MAX;
// From this alignment on, objects are placed in spans that are never meshed [bytes]: buffers of
// O_DIRECT reads are aligned to 512 and more, and no write barrier stops the device.
inline constexpr size_t kPinnedAlignment = 512;

// Pages of the longest span that is meshed, if its bitmap has room for that many slots: what one
// mapping can save at most, against how seldom two spans of many slots are disjoint.
inline constexpr size_t kMaxMeshablePages = 16;

struct alignas(32) SizeClassInfo {
  uint32_t size = 0;        // bytes of a slot
  uint16_t unit_pages = 0;  // pages of a unit: the shortest span
  uint16_t slots = 0;       // slots of a unit, <= Bitmap::kBits
  uint8_t max_units = 1;    // units that a span may have, a power of two
  bool meshable = false;
  uint8_t bin_shift = 0;   // slots >> bin_shift is at most 8, for bins by occupancy
  uint16_t unit_tail = 0;  // bytes of a unit behind its last slot
  // What replaces divisions on the paths of refills and frees: ceil(2^32 / size) and
  // ceil(2^24 / slots).
  uint32_t reciprocal = 0;
  uint32_t slots_reciprocal = 0;

  // x / slots, for x up to Bitmap::kBits.
  constexpr uint32_t DividedBySlots(uint32_t x) const {
    return static_cast<uint32_t>((uint64_t{x} * slots_reciprocal) >> 24);
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
  info.reciprocal = static_cast<uint32_t>(UINT32_MAX / size + 1);
  info.slots_reciprocal = ((1u << 24) + info.slots - 1) / info.slots;
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
// Pages of the longest span of a class that is never meshed.
inline constexpr uint32_t kMaxUnmeshedPages = [] {
  uint32_t most = 0;
  for (const SizeClassInfo& info : kSizeClasses) {
    if (!info.meshable && info.unit_pages > most) most = info.unit_pages;
  }
  return most;
}();
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

namespace internal {

// Pages that any span has at most.
inline constexpr uint32_t kMaxSpanPages = kMaxMeshablePages;
static_assert(kMaxSpanPages < 1 << kPlaceBits);

// Slots in fixed point: behind it 32 bits. One reciprocal a byte is exact enough: rounding it up
// adds at most the offset in the unit, 64 KiB, which is less than any reciprocal.
inline constexpr int kPointShift = 32;
static_assert(kSizeClasses[kFirstPinnedClass - 1].reciprocal > (kMaxSpanPages << kPageShift));

// Where the pages of spans lie, by PageEntry::bits(). All that an entry may say can be looked up.
struct Places {
  std::array<uint64_t, size_t{kEntryClassCount} << kPlaceBits> begins{};  // page, in fixed point
  std::array<uint16_t, size_t{kClassCount} << kPlaceBits> ends{};  // its unit's last slot, and one
};

constexpr Places MakePlaces() {
  Places places{};
  for (SizeClass c = 1; c < kClassCount; c++) {
    const SizeClassInfo& info = kSizeClasses[c];
    for (uint32_t page = 0; page < uint32_t{info.unit_pages} * info.max_units; page++) {
      const uint32_t unit = page / info.unit_pages;
      const uint64_t bytes = uint64_t{page % info.unit_pages} << kPageShift;
      const size_t place = size_t{c} << kPlaceBits | page;
      places.begins[place] = (uint64_t{unit} * info.slots << kPointShift) + bytes * info.reciprocal;
      places.ends[place] = static_cast<uint16_t>((unit + 1) * info.slots);
    }
  }
  return places;
}

inline constexpr Places kPlaces = MakePlaces();

}  // namespace internal

// Whether a slot starts at `address`, in the page whose PageEntry::bits() are `place`; `reciprocal`
// is the class's; 0, for what is no class: none does. What is left of a unit behind its last slot
// passes for one.
MESH_ALWAYS_INLINE constexpr bool IsSlotStart(uintptr_t address, uint32_t place,
                                              uint32_t reciprocal) {
  uint32_t in_page = static_cast<uint32_t>(address) & (kPageSize - 1);
  return in_page * reciprocal + static_cast<uint32_t>(internal::kPlaces.begins[place]) < reciprocal;
}

// Finds the slots of one page of a span.
class SlotFinder {
 public:
  explicit constexpr SlotFinder(SizeClass size_class)
      : first_place_(size_t{size_class} << kPlaceBits),
        reciprocal_(kSizeClasses[size_class].reciprocal) {}

  MESH_ALWAYS_INLINE constexpr void MoveTo(uint32_t page_in_span) {
    begin_ = internal::kPlaces.begins[first_place_ + page_in_span];
    end_ = internal::kPlaces.ends[first_place_ + page_in_span];
  }
  // Whether a slot starts there in the page, and which of the span.
  MESH_ALWAYS_INLINE constexpr bool Find(size_t in_page, SlotIndex* slot) const {
    const uint64_t at = begin_ + in_page * reciprocal_;
    *slot = static_cast<SlotIndex>(at >> internal::kPointShift);
    return static_cast<uint32_t>(at) < reciprocal_ && *slot < end_;
  }

 private:
  size_t first_place_;
  uint64_t reciprocal_;
  uint64_t begin_ = 0;
  uint32_t end_ = 0;
};

// The slot of a span of the class in which the byte at `offset` from its base lies; in a unit's
// tail, one that lies elsewhere.
constexpr SlotIndex SlotAt(SizeClass size_class, size_t offset) {
  const size_t place = (size_t{size_class} << kPlaceBits) + (offset >> kPageShift);
  const uint64_t in_page = offset & (kPageSize - 1);
  return static_cast<SlotIndex>(
      (internal::kPlaces.begins[place] + in_page * kSizeClasses[size_class].reciprocal) >>
      internal::kPointShift);
}

// Where a slot starts, from its span's base [bytes].
constexpr size_t OffsetOf(const SizeClassInfo& info, SlotIndex slot) {
  if (slot < info.slots) return size_t{slot} * info.size;
  return size_t{slot} * info.size + info.DividedBySlots(slot) * size_t{info.unit_tail};
}

}  // namespace mesh
