#include "heaplayers/posix_align_layer.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>

#include "heaplayers/errno_layer.h"
#include "heaplayers/page_source.h"

namespace heaplayers {
namespace {

using Stack = PosixAlignLayer<ErrnoLayer<MmapSource>>;
constinit Stack g_heap;

bool IsMultiple(const void* p, std::size_t alignment) {
  return reinterpret_cast<std::uintptr_t>(p) % alignment == 0;
}

TEST(PosixAlignLayer, AlignsAsAsked) {
  for (std::size_t alignment = 1; alignment <= 65536; alignment *= 2) {
    void* p = g_heap.memalign(alignment, 10);
    void* q = g_heap.aligned_alloc(alignment, 10);
    EXPECT_TRUE(p != nullptr && IsMultiple(p, alignment));
    EXPECT_TRUE(q != nullptr && IsMultiple(q, alignment));
    g_heap.free(p);
    g_heap.free(q);
  }
}

TEST(PosixAlignLayer, BadAlignmentIsEinval) {
  for (std::size_t alignment : {0u, 3u, 24u, 4097u}) {
    errno = 0;
    EXPECT_EQ(g_heap.memalign(alignment, 10), nullptr);
    EXPECT_EQ(errno, EINVAL);
    errno = 0;
    EXPECT_EQ(g_heap.aligned_alloc(alignment, 10), nullptr);
    EXPECT_EQ(errno, EINVAL);
  }
}

TEST(PosixAlignLayer, PosixMemalignReportsByItsResult) {
  void* const untouched = &g_heap;
  void* p = untouched;
  errno = EDOM;
  EXPECT_EQ(g_heap.posix_memalign(&p, 4, 10), EINVAL);  // less than a pointer
  EXPECT_EQ(g_heap.posix_memalign(&p, 48, 10), EINVAL);
  EXPECT_EQ(g_heap.posix_memalign(&p, 0, 10), EINVAL);
  EXPECT_EQ(g_heap.posix_memalign(&p, 64, SIZE_MAX), ENOMEM);
  EXPECT_EQ(g_heap.posix_memalign(&p, std::size_t{1} << 63, 1), ENOMEM);
  EXPECT_EQ(p, untouched);
  EXPECT_EQ(g_heap.posix_memalign(&p, 64, 10), 0);
  EXPECT_TRUE(IsMultiple(p, 64));
  EXPECT_EQ(errno, EDOM);
  g_heap.free(p);
}

TEST(PosixAlignLayer, PageFunctions) {
  const auto page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  void* p = g_heap.valloc(10);
  EXPECT_TRUE(IsMultiple(p, page));
  void* q = g_heap.pvalloc(page + 1);
  EXPECT_TRUE(IsMultiple(q, page));
  EXPECT_GE(g_heap.usable_size(q), 2 * page);
  g_heap.free(p);
  g_heap.free(q);
  EXPECT_EQ(g_heap.pvalloc(SIZE_MAX), nullptr);
}

}  // namespace
}  // namespace heaplayers
