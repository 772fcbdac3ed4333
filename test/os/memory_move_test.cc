// Tests of the moves of memory.h: contents, several mappings, refusals in between.
#include <gtest/gtest.h>

#include "src/base/units.h"
#include "src/os/memory.h"
#include "test/os/fault_injector.h"

namespace mesh::os {
namespace {

volatile char& At(uintptr_t address) { return *reinterpret_cast<volatile char*>(address); }

TEST(Memory, MovePages) {
  Result<uintptr_t> place = MapAnonymous(4 * kPageSize);
  ASSERT_TRUE(place.ok());
  At(place.value) = 1;
  At(place.value + kPageSize) = 2;
  ASSERT_TRUE(MovePages(place.value, kPageSize, place.value + 2 * kPageSize).ok());
  EXPECT_EQ(At(place.value + 2 * kPageSize), 1);
  EXPECT_EQ(ResidentPages(place.value, kPageSize).error, ENOMEM);  // a hole
  Status moved =
      MovePagesKeepSource(place.value + kPageSize, kPageSize, place.value + 3 * kPageSize);
  if (moved.ok()) {
    EXPECT_EQ(At(place.value + 3 * kPageSize), 2);
    EXPECT_EQ(At(place.value + kPageSize), 0);
  } else {
    EXPECT_EQ(moved.error, EINVAL);  // kernel before 5.7
  }
  EXPECT_TRUE(Unmap(place.value, 4 * kPageSize).ok());
}

// Several mappings are moved one after the other; a move that is refused in between is undone.
TEST(Memory, MovesAllMappingsOrNone) {
  constexpr size_t kPages = 9;
  for (uint32_t refused = 0; refused <= 3; refused++) {
    for (bool refuse_back : {false, true}) {
      Result<uintptr_t> source = MapAnonymous(kPages * kPageSize);
      Result<uintptr_t> target = MapAnonymous(kPages * kPageSize);
      ASSERT_TRUE(source.ok() && target.ok());
      for (size_t i = 0; i < kPages; i++)
        At(source.value + i * kPageSize) = static_cast<char>(i + 1);
      // Three mappings: the fourth to the eighth page are never shown to a child.
      ASSERT_TRUE(AdviseDontFork(source.value + 3 * kPageSize, 5 * kPageSize).ok());
      int error = 0;
      {
        FaultInjector injector;
        if (refused > 0) {
          injector.Refuse(Call::kRemap, ENOMEM, refused, refuse_back ? FaultInjector::kForever : 1);
        }
        error = MovePagesKeepSource(source.value, kPages * kPageSize, target.value).error;
      }
      if (error == EINVAL) GTEST_SKIP() << "kernel before 5.7";
      EXPECT_EQ(error, refused > 0 ? ENOMEM : 0);
      const uintptr_t holds = refused > 0 ? source.value : target.value;
      for (size_t i = 0; i < kPages; i++) {
        EXPECT_EQ(At(holds + i * kPageSize), static_cast<char>(i + 1)) << refused << " " << i;
      }
      EXPECT_EQ(At(source.value + 4 * kPageSize), refused == 0 ? 0 : 5);
      // Both are mapped throughout.
      EXPECT_TRUE(ResidentPages(source.value, kPages * kPageSize).ok());
      EXPECT_TRUE(ResidentPages(target.value, kPages * kPageSize).ok());
      EXPECT_TRUE(Unmap(source.value, kPages * kPageSize).ok());
      EXPECT_TRUE(Unmap(target.value, kPages * kPageSize).ok());
    }
  }
}

}  // namespace
}  // namespace mesh::os
