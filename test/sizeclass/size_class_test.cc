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
      ASSERT_EQ(SlotAt(c, offset), slot) << info.size << " at " << offset;
      // A byte of a unit's tail lies in no slot.
      bool starts = offset % unit % info.size == 0 && offset % unit / info.size < info.slots;
      ASSERT_EQ(OffsetOf(info, slot) == offset, starts) << info.size << " at " << offset;
      const auto place = static_cast<uint32_t>(size_t{c} << kPlaceBits | offset / kPageSize);
      SlotFinder finder(c);
      finder.MoveTo(static_cast<uint32_t>(offset / kPageSize));
      SlotIndex found = 0;
      ASSERT_EQ(finder.Find(offset % kPageSize, &found), starts) << info.size << " at " << offset;
      ASSERT_EQ(found, slot);
      // What is left behind a unit's last slot passes for one, to free() at first.
      const bool passes = offset % unit % info.size == 0;
      ASSERT_EQ(IsSlotStart(offset, place, info.reciprocal), passes) << info.size << " " << offset;
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

}  // namespace
}  // namespace mesh
