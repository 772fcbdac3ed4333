// Tests of the size-class table: waste, order, slot arithmetic, alignment.
#include "src/sizeclass/size_class.h"

#include <gtest/gtest.h>

namespace mesh {
namespace {

TEST(SizeClass, HoldsTheRequestWithLittleWaste) {
  for (size_t size = 0; size <= kMaxSmallSize; size++) {
    const SizeClassInfo& info = kSizeClasses[ClassFor(size)];
    ASSERT_GE(info.size, size);
    if (size > 128) {
      ASSERT_LE((info.size - size) * 1000, size * 125) << size;
    }
  }
}

TEST(SizeClass, IsTheSmallestThatFits) {
  for (SizeClass c = 1; c < kFirstPinnedClass; c++) {
    EXPECT_EQ(ClassFor(kSizeClasses[c].size), c);
    if (c > 1) {
      EXPECT_LT(kSizeClasses[c - 1].size, kSizeClasses[c].size);
    }
  }
}

TEST(SizeClass, SpansFitTheBitmapAndWasteNoTail) {
  for (SizeClass c = 1; c < kClassCount; c++) {
    const SizeClassInfo& info = kSizeClasses[c];
    size_t bytes = info.unit_pages * kPageSize;
    EXPECT_LE(info.slots * info.max_units, Bitmap::kBits);
    EXPECT_LT(info.unit_pages * info.max_units, 255u);
    EXPECT_LE(bytes - info.slots * info.size, bytes / 32);
    if (info.meshable) {
      EXPECT_GE(info.slots, 8u);
      EXPECT_LT(info.size, kPageSize);
    }
  }
}

TEST(SizeClass, SlotOfEveryByte) {
  for (SizeClass c = 1; c < kClassCount; c++) {
    const SizeClassInfo& info = kSizeClasses[c];
    size_t unit = info.unit_pages * kPageSize;
    for (size_t offset = 0; offset < info.max_units * unit; offset++) {
      size_t slot = offset / unit * info.slots + offset % unit / info.size;
      ASSERT_EQ(SlotAt(info, offset), slot) << info.size << " at " << offset;
      // A byte of a unit's tail lies in no slot.
      bool starts = offset % unit % info.size == 0 && offset % unit / info.size < info.slots;
      ASSERT_EQ(OffsetOf(info, slot) == offset, starts) << info.size << " at " << offset;
    }
    for (size_t offset = 0; offset < size_t{info.slots} * info.size; offset++) {
      SlotIndex slot = 0;
      ASSERT_EQ(FindSlot(info.size_reciprocal, offset, &slot), offset % info.size == 0);
      ASSERT_EQ(slot, offset / info.size);
    }
    for (uint32_t page = 0; page < info.max_units * info.unit_pages; page++) {
      PagePlace before = PlaceOfPage(info, page);
      ASSERT_EQ(before.slots, page / info.unit_pages * info.slots);
      ASSERT_EQ(before.bytes, page % info.unit_pages * kPageSize);
    }
  }
}

TEST(SizeClass, MultiplicationsDivide) {
  for (SizeClass c = 1; c < kClassCount; c++) {
    const SizeClassInfo& info = kSizeClasses[c];
    for (uint32_t x = 0; x <= Bitmap::kBits; x++) {
      ASSERT_EQ(info.DividedBySlots(x), x / info.slots);
    }
    EXPECT_LE(info.slots >> info.bin_shift, 8);
    for (uint32_t page = 0; page < size_t{info.max_units} * info.unit_pages; page++) {
      ASSERT_EQ(info.DividedByUnitPages(page), page / info.unit_pages);
    }
  }
}

TEST(SizeClass, AlignedClassesAreAlignedAndSmall) {
  for (size_t alignment = 16; alignment <= kPageSize; alignment *= 2) {
    for (size_t size = 0; size <= kMaxSmallSize; size++) {
      SizeClass c = AlignedClassFor(size, alignment);
      if (c == kNoClass) continue;
      const SizeClassInfo& info = kSizeClasses[c];
      ASSERT_GE(info.size, size);
      ASSERT_EQ(info.size % alignment, 0u);
      ASSERT_FALSE(info.meshable && alignment >= kPinnedAlignment);
    }
  }
  EXPECT_EQ(kSizeClasses[AlignedClassFor(80, 64)].size, 128u);
  EXPECT_EQ(kSizeClasses[AlignedClassFor(100, 512)].size, 512u);
  EXPECT_EQ(AlignedClassFor(100, 2 * kPageSize), kNoClass);
}

// Every address of every span: the short arithmetic of free() agrees with a division.
TEST(SizeClassTest, ASlotStartsWhereTheShortArithmeticSaysSo) {
  for (SizeClass c = 1; c < kClassCount; c++) {
    const SizeClassInfo& info = kSizeClasses[c];
    const size_t length = size_t{info.unit_pages} * info.max_units * kPageSize;
    for (size_t offset = 0; offset < length; offset++) {
      const size_t in_unit = offset % (info.unit_pages * kPageSize);
      const auto place = static_cast<uint32_t>(size_t{c} << kPlaceBits | offset / kPageSize);
      ASSERT_EQ(IsSlotStart(offset, place, ShortReciprocal(c)), in_unit % info.size == 0)
          << "class " << int{c} << ", offset " << offset;
    }
  }
}

}  // namespace
}  // namespace mesh
