// Tests of the malloc family's rules over a fake heap: errno, overflow, alignment, zero sizes.
#include "src/libmesh/malloc_api.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <cstdint>
#include <cstring>

#include "test/libmesh/fake_heap.h"

namespace mesh {
namespace {

using Api = MallocApi<FakeHeap>;

constexpr int kUntouched = 4711;

class MallocApiTest : public testing::Test {
 protected:
  MallocApiTest() {
    FakeHeap::Reset();
    errno = kUntouched;
  }
};

bool IsAligned(const void* object, size_t alignment) {
  return object != nullptr && reinterpret_cast<uintptr_t>(object) % alignment == 0;
}

TEST_F(MallocApiTest, SuccessLeavesErrnoAlone) {
  void* object = Api::Malloc(10);
  EXPECT_NE(object, nullptr);
  object = Api::Realloc(object, 20);
  EXPECT_NE(object, nullptr);
  EXPECT_NE(Api::Calloc(2, 3), nullptr);
  EXPECT_NE(Api::Memalign(64, 3), nullptr);
  EXPECT_NE(Api::AlignedAlloc(64, 3), nullptr);
  EXPECT_NE(Api::Valloc(3), nullptr);
  EXPECT_NE(Api::Strdup("text"), nullptr);
  Api::Free(object);
  Api::Free(nullptr);
  EXPECT_EQ(errno, kUntouched);
}

TEST_F(MallocApiTest, FailureIsNullWithEnomem) {
  const struct {
    const char* name;
    void* (*call)();
  } cases[] = {
      {"malloc", [] { return Api::Malloc(1); }},
      {"calloc", [] { return Api::Calloc(1, 1); }},
      {"realloc(null)", [] { return Api::Realloc(nullptr, 1); }},
      {"reallocarray", [] { return Api::Reallocarray(nullptr, 1, 1); }},
      {"reallocf", [] { return Api::Reallocf(nullptr, 1); }},
      {"memalign", [] { return Api::Memalign(64, 1); }},
      {"aligned_alloc", [] { return Api::AlignedAlloc(64, 1); }},
      {"valloc", [] { return Api::Valloc(1); }},
      {"pvalloc", [] { return Api::Pvalloc(1); }},
      {"strdup", []() -> void* { return Api::Strdup("x"); }},
      {"strndup", []() -> void* { return Api::Strndup("x", 1); }},
  };
  for (const auto& c : cases) {
    errno = kUntouched;
    FakeHeap::FailNext(1);
    EXPECT_EQ(c.call(), nullptr) << c.name;
    EXPECT_EQ(errno, ENOMEM) << c.name;
  }
}

TEST_F(MallocApiTest, ImpossibleSizes) {
  for (size_t size : {size_t{1} << 40, size_t{1} << 62, SIZE_MAX}) {
    errno = kUntouched;
    EXPECT_EQ(Api::Malloc(size), nullptr);
    EXPECT_EQ(errno, ENOMEM);
  }
}

TEST_F(MallocApiTest, ProductsThatOverflow) {
  void* object = Api::Malloc(8);
  EXPECT_EQ(Api::Calloc(SIZE_MAX, 2), nullptr);
  EXPECT_EQ(errno, ENOMEM);
  errno = kUntouched;
  EXPECT_EQ(Api::Calloc(size_t{1} << 32, size_t{1} << 32), nullptr);
  EXPECT_EQ(errno, ENOMEM);
  errno = kUntouched;
  EXPECT_EQ(Api::Reallocarray(object, SIZE_MAX / 2, 3), nullptr);
  EXPECT_EQ(errno, ENOMEM);
  EXPECT_TRUE(FakeHeap::freed().empty()) << "the object stays";
}

TEST_F(MallocApiTest, CallocZeroes) {
  auto* bytes = static_cast<unsigned char*>(Api::Calloc(4, 25));
  ASSERT_NE(bytes, nullptr);
  EXPECT_EQ(FakeHeap::last_size(), 100u);
  for (int i = 0; i < 100; i++) EXPECT_EQ(bytes[i], 0);
  EXPECT_NE(Api::Calloc(0, 5), nullptr);
  EXPECT_NE(Api::Calloc(SIZE_MAX, 0), nullptr);
}

TEST_F(MallocApiTest, ReallocRules) {
  char* object = static_cast<char*>(Api::Realloc(nullptr, 5));
  ASSERT_NE(object, nullptr);
  memcpy(object, "abcd", 5);
  char* moved = static_cast<char*>(Api::Realloc(object, 500));
  ASSERT_NE(moved, nullptr);
  EXPECT_STREQ(moved, "abcd");
  FakeHeap::FailNext(1);
  EXPECT_EQ(Api::Realloc(moved, 1000), nullptr);
  EXPECT_EQ(errno, ENOMEM);
  EXPECT_STREQ(moved, "abcd");
  EXPECT_EQ(FakeHeap::freed(), std::vector<void*>{object});
  errno = kUntouched;
  EXPECT_EQ(Api::Realloc(moved, 0), nullptr) << "frees";
  EXPECT_EQ(errno, kUntouched);
  EXPECT_EQ(FakeHeap::freed().back(), moved);
  EXPECT_NE(Api::Realloc(nullptr, 0), nullptr) << "is malloc(0)";
}

TEST_F(MallocApiTest, ReallocfFreesOnFailureOnce) {
  void* object = Api::Malloc(5);
  FakeHeap::FailNext(1);
  EXPECT_EQ(Api::Reallocf(object, 50), nullptr);
  EXPECT_EQ(errno, ENOMEM);
  EXPECT_EQ(FakeHeap::freed(), std::vector<void*>{object});
  object = Api::Malloc(5);
  EXPECT_EQ(Api::Reallocf(object, 0), nullptr);
  EXPECT_EQ(FakeHeap::freed().size(), 2u);
}

TEST_F(MallocApiTest, PosixMemalign) {
  int place = 0;
  void* const before = &place;
  void* object = before;
  for (size_t bad : {size_t{0}, size_t{1}, size_t{4}, size_t{12}, size_t{24}, SIZE_MAX}) {
    EXPECT_EQ(Api::PosixMemalign(&object, bad, 10), EINVAL) << bad;
    EXPECT_EQ(object, before);
  }
  FakeHeap::FailNext(1);
  EXPECT_EQ(Api::PosixMemalign(&object, 64, 10), ENOMEM);
  EXPECT_EQ(object, before);
  for (size_t good : {size_t{8}, size_t{16}, size_t{64}, size_t{4096}}) {
    EXPECT_EQ(Api::PosixMemalign(&object, good, 10), 0) << good;
    EXPECT_TRUE(IsAligned(object, good));
  }
  EXPECT_EQ(errno, kUntouched) << "the error is the result";
}

TEST_F(MallocApiTest, AlignedAllocWantsAPowerOfTwo) {
  for (size_t bad : {size_t{0}, size_t{3}, size_t{24}, SIZE_MAX}) {
    errno = kUntouched;
    EXPECT_EQ(Api::AlignedAlloc(bad, 48), nullptr) << bad;
    EXPECT_EQ(errno, EINVAL);
  }
  for (size_t good : {size_t{1}, size_t{2}, size_t{32}, size_t{4096}}) {
    EXPECT_TRUE(IsAligned(Api::AlignedAlloc(good, 10), good)) << good;
  }
}

TEST_F(MallocApiTest, MemalignRoundsUpAsGlibc) {
  EXPECT_TRUE(IsAligned(Api::Memalign(0, 10), 1));
  EXPECT_TRUE(IsAligned(Api::Memalign(3, 10), 4));
  EXPECT_EQ(FakeHeap::last_alignment(), 4u);
  EXPECT_TRUE(IsAligned(Api::Memalign(2049, 10), 4096));
  errno = kUntouched;
  EXPECT_EQ(Api::Memalign(SIZE_MAX / 2 + 2, 10), nullptr);
  EXPECT_EQ(errno, EINVAL);
  errno = kUntouched;
  EXPECT_EQ(Api::Memalign(SIZE_MAX / 2 + 1, 10), nullptr);
  EXPECT_EQ(errno, ENOMEM);
}

TEST_F(MallocApiTest, PageAllocators) {
  EXPECT_TRUE(IsAligned(Api::Valloc(10), 4096));
  EXPECT_EQ(FakeHeap::last_size(), 10u);
  EXPECT_TRUE(IsAligned(Api::Pvalloc(10), 4096));
  EXPECT_EQ(FakeHeap::last_size(), 4096u);
  EXPECT_TRUE(IsAligned(Api::Pvalloc(4096), 4096));
  EXPECT_EQ(FakeHeap::last_size(), 4096u);
  EXPECT_EQ(Api::Pvalloc(SIZE_MAX - 10), nullptr);
  EXPECT_EQ(errno, ENOMEM);
}

TEST_F(MallocApiTest, StringCopies) {
  EXPECT_STREQ(Api::Strdup(""), "");
  EXPECT_STREQ(Api::Strdup("hello"), "hello");
  EXPECT_STREQ(Api::Strndup("hello", 3), "hel");
  EXPECT_STREQ(Api::Strndup("hello", 50), "hello");
  const char unterminated[3] = {'a', 'b', 'c'};
  EXPECT_STREQ(Api::Strndup(unterminated, 3), "abc");
}

TEST_F(MallocApiTest, UsableSize) {
  EXPECT_EQ(Api::UsableSize(nullptr), 0u);
  EXPECT_EQ(Api::UsableSize(Api::Malloc(33)), 33u);
}

}  // namespace
}  // namespace mesh
