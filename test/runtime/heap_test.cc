// Tests of the malloc family as libmesh sees it: sizes, alignments, zeros, realloc, large objects.
#include "src/runtime/heap.h"

#include <gtest/gtest.h>
#include <sys/mman.h>

#include <cerrno>
#include <cstdint>
#include <cstring>
#include <vector>

#include "src/base/units.h"
#include "src/runtime/runtime.h"
#include "test/os/fault_injector.h"

namespace mesh {
namespace {

using os::Call;
using os::FaultInjector;

bool IsFilled(const char* object, size_t size, char value) {
  for (size_t i = 0; i < size; i++) {
    if (object[i] != value) return false;
  }
  return true;
}

TEST(Heap, EverySizeIsServedAndHasRoom) {
  for (size_t size = 0; size < 70000; size = size < 1100 ? size + 1 : size + 97) {
    auto* object = static_cast<char*>(Malloc(size));
    ASSERT_NE(object, nullptr);
    ASSERT_GE(UsableSize(object), size);
    ASSERT_EQ(UsableSize(object), GoodSize(size)) << size;
    ASSERT_EQ(reinterpret_cast<uintptr_t>(object) % 16, 0u);
    if (size > 128) {
      ASSERT_LE(UsableSize(object), size + size / 8 + kPageSize * (size > 32768));
    }
    memset(object, 1, UsableSize(object));
    Free(object);
  }
}

TEST(Heap, EveryAlignmentHolds) {
  for (size_t alignment = 1; alignment <= 64 * kMiB; alignment *= 2) {
    for (size_t size : {size_t{0}, size_t{1}, size_t{80}, size_t{500}, size_t{5000}, alignment}) {
      auto* object = static_cast<char*>(AlignedAlloc(alignment, size));
      ASSERT_NE(object, nullptr) << alignment << " " << size;
      ASSERT_EQ(reinterpret_cast<uintptr_t>(object) % alignment, 0u);
      ASSERT_GE(UsableSize(object), size);
      if (size > 0) object[0] = object[size - 1] = 1;
      Free(object);
    }
  }
}

TEST(Heap, CallocIsZeroInMemoryThatWasUsed) {
  for (size_t size : {size_t{10}, size_t{1000}, size_t{30000}, size_t{100000}, size_t{3000000}}) {
    for (int round = 0; round < 3; round++) {
      auto* dirty = static_cast<char*>(Malloc(size));
      memset(dirty, 0x5a, size);
      Free(dirty);
      auto* object = static_cast<char*>(Calloc(size));
      ASSERT_TRUE(IsFilled(object, size, 0)) << size;
      memset(object, 0x5a, size);
      Free(object);
    }
  }
}

TEST(Heap, ReallocKeepsContentsUpAndDown) {
  const size_t sizes[] = {1,      16,      17,        100,     1000,   4096,  5000, 40000,
                          100000, 1000000, 700000000, 2000000, 100000, 33000, 500,  7};
  auto* object = static_cast<char*>(Realloc(nullptr, 1));
  object[0] = 0x21;
  size_t filled = 1;
  for (size_t size : sizes) {
    object = static_cast<char*>(Realloc(object, size));
    ASSERT_NE(object, nullptr) << size;
    ASSERT_GE(UsableSize(object), size);
    size_t kept = filled < size ? filled : size;
    ASSERT_TRUE(IsFilled(object, kept, 0x21)) << size;
    filled = size < 3000000 ? size : 3000000;
    memset(object, 0x21, filled);
  }
  Free(object);
}

TEST(Heap, WhatIsNotOursIsLeftAlone) {
  void* page = mmap(nullptr, kPageSize, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  Free(nullptr);
  Free(page);
  EXPECT_EQ(UsableSize(nullptr), 0u);
  EXPECT_EQ(UsableSize(page), 0u);
  EXPECT_EQ(Realloc(page, 10), nullptr);
  EXPECT_FALSE(Owns(page));
  munmap(page, kPageSize);
  void* object = Malloc(10);
  EXPECT_TRUE(Owns(object));
  Free(object);
}

alignas(16) char in_program[64];

TEST(HeapDeathTest, WhatNoAllocatorHandsOutEndsTheProgram) {
  alignas(16) char on_stack[64];
  EXPECT_DEATH(Free(on_stack), "mesh: free of a pointer to the stack: 0x");
  EXPECT_DEATH(Realloc(on_stack, 10), "mesh: free of a pointer to the stack: 0x");
  EXPECT_DEATH(Free(in_program), "mesh: free of a pointer to the program's own data: 0x");
  EXPECT_DEATH(Free(reinterpret_cast<void*>(0x12345)),
               "mesh: free of a pointer that is not aligned");
}

TEST(HeapDeathTest, TheSecondFreeInARowEndsTheProgram) {
  for (size_t size : {10u, 3000u, 20000u, 100000u}) {
    void* object = Malloc(size);
    Free(object);
    EXPECT_DEATH(Free(object), "mesh: (double free|free of a pointer that is not in use): 0x")
        << size;
  }
}

TEST(HeapDeathTest, ReallocCopiesFromWhereASlotBegins) {
  auto* small = static_cast<char*>(Malloc(200));
  EXPECT_DEATH(Realloc(small + 16, 5000),
               "mesh: realloc of a pointer into the middle of an object");
  auto* large = static_cast<char*>(Malloc(100000));
  EXPECT_DEATH(Realloc(large + kPageSize, 10), "mesh: free of a pointer that is not in use");
  Free(small);
  Free(large);
}

TEST(Heap, WhatCannotBeMetIsNull) {
  EXPECT_EQ(Malloc(SIZE_MAX), nullptr);
  EXPECT_EQ(Malloc(PTRDIFF_MAX), nullptr);
  EXPECT_EQ(Malloc(size_t{1} << 60), nullptr);
  EXPECT_EQ(Calloc(SIZE_MAX), nullptr);
  EXPECT_EQ(AlignedAlloc(4096, SIZE_MAX - 10), nullptr);
  EXPECT_EQ(GoodSize(SIZE_MAX), 0u);
  void* object = Malloc(100000);
  EXPECT_EQ(Realloc(object, SIZE_MAX), nullptr);
  EXPECT_EQ(UsableSize(object), RoundUp(100000, kPageSize));
  Free(object);
}

TEST(Heap, NothingTouchesErrno) {
  errno = 1234;
  void* object = Malloc(100000);
  object = Realloc(object, 400000);
  Free(object);
  Free(Calloc(10));
  EXPECT_EQ(Malloc(SIZE_MAX), nullptr);
  Runtime::Get().Compact();
  EXPECT_EQ(errno, 1234);
}

// Each kind of call is refused for a while: null is right, a crash or lost contents are not.
TEST(Heap, RefusalsOfTheKernelAreNull) {
  for (Call call : {Call::kReserve, Call::kCommit, Call::kMapAnonymous, Call::kRemap,
                    Call::kRelease, Call::kUnmap, Call::kMapPrivateFixed, Call::kAdvise}) {
    for (int64_t nth = 1; nth < 6; nth++) {
      FaultInjector injector;
      injector.Refuse(call, ENOMEM, nth, 8);
      std::vector<char*> objects;
      for (size_t size : {size_t{3000}, size_t{100000}, size_t{5000000}, size_t{600000000}}) {
        // Without mremap a long object is copied, and that takes its time.
        for (int i = 0; i < (size > 100 * kMiB ? 1 : 10); i++) {
          auto* object = static_cast<char*>(Malloc(size + 4096 * i));
          if (object == nullptr) continue;
          object[0] = object[size - 1] = static_cast<char>(i);
          auto* moved = static_cast<char*>(Realloc(object, size * 2));
          if (moved != nullptr) object = moved;
          ASSERT_EQ(object[0], static_cast<char>(i)) << os::CallName(call);
          ASSERT_EQ(object[size - 1], static_cast<char>(i)) << os::CallName(call);
          objects.push_back(object);
        }
      }
      for (char* object : objects) Free(object);
      Runtime::Get().global().arena().CheckInvariants();
    }
  }
}

TEST(Heap, LargeMemoryGoesBack) {
  GlobalHeap& global = Runtime::Get().global();
  size_t before = global.arena().statistics().dirty_bytes;
  constexpr size_t kSize = 200 * kMiB;
  auto* object = static_cast<char*>(Malloc(kSize));
  memset(object, 1, kSize);
  EXPECT_EQ(global.large_bytes(), kSize);
  Free(object);
  EXPECT_EQ(global.large_count(), 0u);
  EXPECT_LT(global.arena().statistics().dirty_bytes, before + 16 * kMiB);
}

}  // namespace
}  // namespace mesh
