#include "heaplayers/page_source.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <cstdint>
#include <cstring>

#include "heaplayers/arithmetic.h"

namespace heaplayers {
namespace {

static_assert(ResizingHeap<MmapSource> && AligningHeap<MmapSource> && ZeroingHeap<MmapSource>);

bool IsMultiple(const void* p, std::size_t alignment) {
  return reinterpret_cast<std::uintptr_t>(p) % alignment == 0;
}

TEST(MmapSource, ServesZeroedWritableObjects) {
  for (std::size_t size :
       {std::size_t{0}, std::size_t{1}, std::size_t{4096}, std::size_t{100000}}) {
    auto* p = static_cast<unsigned char*>(MmapSource::malloc_zeroed(size));
    ASSERT_NE(p, nullptr);
    EXPECT_TRUE(IsMultiple(p, MmapSource::kAlignment));
    ASSERT_GE(MmapSource::usable_size(p), size);
    for (std::size_t i = 0; i < size; ++i) ASSERT_EQ(p[i], 0);
    std::memset(p, 1, MmapSource::usable_size(p));
    MmapSource::free(p);
  }
}

TEST(MmapSource, AlignsToAnyPowerOfTwo) {
  for (std::size_t alignment = 1; alignment <= std::size_t{1} << 22; alignment *= 2) {
    void* p = MmapSource::memalign(alignment, 5000);
    ASSERT_NE(p, nullptr);
    EXPECT_TRUE(IsMultiple(p, alignment));
    ASSERT_GE(MmapSource::usable_size(p), 5000u);
    std::memset(p, 1, MmapSource::usable_size(p));
    MmapSource::free(p);
  }
}

TEST(MmapSource, ResizeKeepsContent) {
  auto* p = static_cast<unsigned char*>(MmapSource::malloc(10000));
  std::memset(p, 7, 10000);
  p = static_cast<unsigned char*>(MmapSource::try_resize(p, 10000000));
  ASSERT_NE(p, nullptr);
  EXPECT_EQ(p[9999], 7);
  p[9999999] = 8;
  p = static_cast<unsigned char*>(MmapSource::try_resize(p, 1));
  ASSERT_NE(p, nullptr);
  EXPECT_EQ(p[0], 7);
  EXPECT_LT(MmapSource::usable_size(p), MmapPages::kPageSize);
  MmapSource::free(p);
}

TEST(MmapSource, RefusalLeavesErrnoAndObject) {
  errno = 0;
  for (std::size_t size : {kImpossible, kImpossible - 4096, std::size_t{1} << 62}) {
    EXPECT_EQ(MmapSource::malloc(size), nullptr);
    EXPECT_EQ(MmapSource::memalign(std::size_t{1} << 62, size), nullptr);
  }
  auto* p = static_cast<char*>(MmapSource::malloc(100));
  p[99] = 'x';
  EXPECT_EQ(MmapSource::try_resize(p, std::size_t{1} << 62), nullptr);
  EXPECT_EQ(MmapSource::try_resize(p, kImpossible), nullptr);
  EXPECT_EQ(p[99], 'x');
  MmapSource::free(p);
  EXPECT_EQ(errno, 0);
}

struct NoPages {
  static constexpr std::size_t kPageSize = 4096;
  static void* Map(std::size_t length) {
    EXPECT_EQ(length % kPageSize, 0u);  // also says: not kImpossible
    return nullptr;
  }
  static void* Remap(void*, std::size_t, std::size_t) { return nullptr; }
  static void Unmap(void*, std::size_t) {}
};

TEST(PageSource, RefusesWhenThePolicyDoes) {
  EXPECT_EQ(PageSource<NoPages>::malloc(1), nullptr);
  EXPECT_EQ(PageSource<NoPages>::malloc(kImpossible), nullptr);
}

}  // namespace
}  // namespace heaplayers
