// Objects of which not the start is aligned.
#include <gtest/gtest.h>

#include <cerrno>
#include <cstdint>
#include <cstring>

#include "src/libmesh/mesh/mesh.h"
#include "test/api/heap_checks.h"

namespace mesh {
namespace {

TEST(OffsetObjects, HaveTheirOffsetAligned) {
  for (size_t alignment : {16, 64, 512, 4096}) {
    for (size_t offset : {1, 4, 8, 16, 24, 48, 100, 4000}) {
      for (size_t size : kSizes) {
        void* object = mesh_malloc_aligned_at(size, alignment, offset);
        ASSERT_NE(object, nullptr);
        EXPECT_EQ((reinterpret_cast<uintptr_t>(object) + offset) % alignment, 0u);
        EXPECT_GE(mesh_usable_size(object), size);
        EXPECT_TRUE(mesh_heap_contains(nullptr, object));
        memset(object, 0x66, mesh_usable_size(object));
        void* zeroed = mesh_zalloc_aligned_at(size, alignment, offset);
        EXPECT_EQ((reinterpret_cast<uintptr_t>(zeroed) + offset) % alignment, 0u);
        for (size_t i = 0; i < size; i++) ASSERT_EQ(static_cast<char*>(zeroed)[i], 0);
        void* resized = mesh_realloc_aligned_at(object, 3 * size, alignment, offset);
        EXPECT_EQ((reinterpret_cast<uintptr_t>(resized) + offset) % alignment, 0u);
        for (size_t i = 0; i < size; i++) ASSERT_EQ(static_cast<char*>(resized)[i], 0x66);
        void* plain = mesh_realloc(resized, 2 * size);
        for (size_t i = 0; i < size; i++) ASSERT_EQ(static_cast<char*>(plain)[i], 0x66);
        mesh_free(plain);
        EXPECT_EQ(mesh_realloc_aligned_at(zeroed, 0, alignment, offset), nullptr);
      }
    }
  }
}

TEST(OffsetObjects, ALargeAlignmentTakesItsMultiplesAlone) {
  void* object = mesh_malloc_aligned_at(100, 65536, 2 * 65536);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(object) % 65536, 0u);
  mesh_free(object);
  errno = 0;
  EXPECT_EQ(mesh_malloc_aligned_at(100, 65536, 8), nullptr);
  EXPECT_EQ(errno, EINVAL);
  errno = 0;
  EXPECT_EQ(mesh_zalloc_aligned_at(100, 48, 8), nullptr);
  EXPECT_EQ(errno, EINVAL);
}

}  // namespace
}  // namespace mesh
