// The functions of mesh/mesh.h that make, resize and free objects.
#include <gtest/gtest.h>

#include <cerrno>
#include <cstdint>
#include <cstring>
#include <vector>

#include "src/libmesh/mesh/mesh.h"

namespace {

// From the smallest size to the larger ones of those that have pages of their own.
constexpr size_t kSizes[] = {0,    1,     8,     16,    17,      100,     1000,   3840,
                             4096, 20000, 32768, 32769, 100'000, 1 << 20, 5 << 20};

bool IsAligned(const void* object, size_t alignment) {
  return reinterpret_cast<uintptr_t>(object) % alignment == 0;
}

// From level 2 on, sizes are as asked for, and objects of no size have no memory.
bool HasExactSizes() {
  void* object = mesh_malloc(1);
  const bool is_exact = mesh_usable_size(object) == 1;
  mesh_free(object);
  return is_exact;
}

bool IsZero(const void* object, size_t from, size_t to) {
  const char* bytes = static_cast<const char*>(object);
  for (size_t i = from; i < to; i++) {
    if (bytes[i] != 0) return false;
  }
  return true;
}

// Leaves memory behind that is not zero, for the next object of the size.
void Soil(size_t size) {
  void* object = mesh_malloc(size);
  memset(object, 0xa5, mesh_usable_size(object));
  mesh_free(object);
}

bool HasPattern(const void* object, size_t size) {
  const auto* bytes = static_cast<const unsigned char*>(object);
  for (size_t i = 0; i < size; i++) {
    if (bytes[i] != i % 251) return false;
  }
  return true;
}

void* WithPattern(size_t size) {
  auto* bytes = static_cast<unsigned char*>(mesh_malloc(size));
  for (size_t i = 0; i < size; i++) bytes[i] = static_cast<unsigned char>(i % 251);
  return bytes;
}

TEST(Objects, HaveTheirSizeAndPlace) {
  for (size_t size : kSizes) {
    void* object = mesh_malloc(size);
    ASSERT_NE(object, nullptr);
    EXPECT_TRUE(IsAligned(object, 16));
    EXPECT_GE(mesh_usable_size(object), size);
    EXPECT_GE(mesh_good_size(size), size);
    if (size > 0 || !HasExactSizes()) {
      EXPECT_LE(mesh_good_size(size), mesh_usable_size(object));
    }
    EXPECT_TRUE(mesh_is_in_heap(object));
    memset(object, 1, mesh_usable_size(object));
    errno = 77;
    mesh_free(object);
    EXPECT_EQ(errno, 77);
  }
  mesh_free(nullptr);
  int local = 0;
  EXPECT_FALSE(mesh_is_in_heap(&local));
  EXPECT_FALSE(mesh_is_in_heap(nullptr));
  EXPECT_EQ(mesh_usable_size(nullptr), 0u);
}

TEST(Objects, ZeroedOnesAreZeroToTheirEnd) {
  for (size_t size : kSizes) {
    Soil(size);
    void* object = mesh_zalloc(size);
    ASSERT_NE(object, nullptr);
    EXPECT_TRUE(IsZero(object, 0, mesh_usable_size(object))) << size;
    mesh_free(object);
  }
  Soil(300);
  void* object = mesh_calloc(3, 99);
  EXPECT_TRUE(IsZero(object, 0, mesh_usable_size(object)));
  mesh_free(object);
}

TEST(Objects, ThereIsNoMemoryForAnySize) {
  for (size_t size : {SIZE_MAX, SIZE_MAX / 2 + 1, size_t{1} << 60}) {
    errno = 0;
    EXPECT_EQ(mesh_malloc(size), nullptr);
    EXPECT_EQ(errno, ENOMEM);
    errno = 0;
    EXPECT_EQ(mesh_zalloc(size), nullptr);
    EXPECT_EQ(errno, ENOMEM);
    errno = 0;
    EXPECT_EQ(mesh_malloc_aligned(size, 64), nullptr);
    EXPECT_EQ(errno, ENOMEM);
  }
  EXPECT_EQ(mesh_good_size(SIZE_MAX), 0u);
  errno = 0;
  EXPECT_EQ(mesh_calloc(SIZE_MAX / 4, 8), nullptr);
  EXPECT_EQ(errno, ENOMEM);
  errno = 0;
  EXPECT_EQ(mesh_reallocarray(nullptr, SIZE_MAX / 4, 8), nullptr);
  EXPECT_EQ(errno, ENOMEM);
}

TEST(Objects, KeepTheirBytesWhenResized) {
  for (size_t from : kSizes) {
    for (size_t to : kSizes) {
      if (to == 0) continue;
      void* object = WithPattern(from);
      void* resized = mesh_realloc(object, to);
      ASSERT_NE(resized, nullptr);
      EXPECT_GE(mesh_usable_size(resized), to);
      EXPECT_TRUE(HasPattern(resized, from < to ? from : to));
      mesh_free(resized);
    }
  }
  void* object = mesh_realloc(nullptr, 10);
  EXPECT_NE(object, nullptr);
  EXPECT_EQ(mesh_realloc(object, 0), nullptr);
  object = mesh_reallocarray(WithPattern(50), 25, 4);
  EXPECT_TRUE(HasPattern(object, 50));
  errno = 0;
  EXPECT_EQ(mesh_reallocarray(object, SIZE_MAX / 2, 4), nullptr);
  EXPECT_EQ(errno, ENOMEM);
  EXPECT_TRUE(HasPattern(object, 50));
  mesh_free(object);
}

TEST(Objects, ReallocfFreesWhatItCannotResize) {
  void* object = mesh_reallocf(WithPattern(100), 200);
  EXPECT_TRUE(HasPattern(object, 100));
  errno = 0;
  EXPECT_EQ(mesh_reallocf(object, SIZE_MAX), nullptr);
  EXPECT_EQ(errno, ENOMEM);
}

TEST(Objects, RecallocarrayClearsWhatIsNew) {
  for (size_t from : kSizes) {
    for (size_t to : kSizes) {
      if (to == 0) continue;
      Soil(to);
      void* object = WithPattern(from);
      void* resized = mesh_recallocarray(object, from, to, 1);
      ASSERT_NE(resized, nullptr);
      EXPECT_TRUE(HasPattern(resized, from < to ? from : to));
      EXPECT_TRUE(IsZero(resized, from < to ? from : to, to)) << from << " to " << to;
      mesh_free(resized);
    }
  }
  void* object = mesh_recallocarray(nullptr, 0, 10, 10);
  EXPECT_TRUE(IsZero(object, 0, 100));
  errno = 0;
  EXPECT_EQ(mesh_recallocarray(object, mesh_usable_size(object) + 1, 5, 1), nullptr);
  EXPECT_EQ(errno, EINVAL);
  errno = 0;
  EXPECT_EQ(mesh_recallocarray(object, SIZE_MAX, 5, 2), nullptr);
  EXPECT_EQ(errno, EINVAL);
  errno = 0;
  EXPECT_EQ(mesh_recallocarray(object, 2, SIZE_MAX, 2), nullptr);
  EXPECT_EQ(errno, ENOMEM);
  EXPECT_EQ(mesh_recallocarray(object, 10, 0, 10), nullptr);  // freed
}

TEST(Objects, ExpandStaysInPlace) {
  for (size_t size : kSizes) {
    void* object = WithPattern(size);
    size_t usable = mesh_usable_size(object);
    EXPECT_EQ(mesh_expand(object, usable), object);
    EXPECT_EQ(mesh_expand(object, 0), object);
    EXPECT_EQ(mesh_usable_size(object), usable);
    errno = 77;
    EXPECT_EQ(mesh_expand(object, SIZE_MAX), nullptr);
    if (usable <= 32768) {
      EXPECT_EQ(mesh_expand(object, usable + 1), nullptr);
    }
    EXPECT_EQ(errno, 77);
    EXPECT_TRUE(HasPattern(object, size));
    mesh_free(object);
  }
  EXPECT_EQ(mesh_expand(nullptr, 1), nullptr);
  int local = 0;
  EXPECT_EQ(mesh_expand(&local, 1), nullptr);
}

TEST(Objects, ALargeOneGrowsIntoFreePages) {
  if (HasExactSizes()) GTEST_SKIP() << "behind each lies a guard";
  // What is behind the last of these is free.
  std::vector<void*> objects;
  for (int i = 0; i < 20; i++) objects.push_back(WithPattern(40'000));
  int grown = 0;
  for (void* object : objects) {
    void* expanded = mesh_expand(object, 80'000);
    if (expanded == nullptr) continue;
    grown++;
    EXPECT_EQ(expanded, object);
    EXPECT_GE(mesh_usable_size(object), 80'000u);
    EXPECT_TRUE(HasPattern(object, 40'000));
    memset(object, 2, 80'000);
  }
  EXPECT_GE(grown, 1);
  for (void* object : objects) mesh_free(object);
}

TEST(Objects, StringsAreCopied) {
  char* copy = mesh_strdup("a text");
  EXPECT_STREQ(copy, "a text");
  mesh_free(copy);
  copy = mesh_strndup("a text", 3);
  EXPECT_STREQ(copy, "a t");
  mesh_free(copy);
}

TEST(AlignedObjects, LieWhereTheyWereAskedFor) {
  for (size_t alignment = 1; alignment <= (1 << 20); alignment *= 2) {
    for (size_t size : kSizes) {
      if (size > (1 << 20)) continue;
      void* object = mesh_malloc_aligned(size, alignment);
      ASSERT_NE(object, nullptr);
      EXPECT_TRUE(IsAligned(object, alignment));
      EXPECT_GE(mesh_usable_size(object), size);
      memset(object, 0xa5, mesh_usable_size(object));
      mesh_free(object);
      object = mesh_zalloc_aligned(size, alignment);
      ASSERT_NE(object, nullptr);
      EXPECT_TRUE(IsAligned(object, alignment));
      EXPECT_TRUE(IsZero(object, 0, mesh_usable_size(object))) << size << " at " << alignment;
      mesh_free(object);
    }
  }
}

TEST(AlignedObjects, AnAlignmentIsAPowerOfTwo) {
  for (size_t alignment : {size_t{0}, size_t{3}, size_t{48}, SIZE_MAX}) {
    errno = 0;
    EXPECT_EQ(mesh_malloc_aligned(100, alignment), nullptr);
    EXPECT_EQ(errno, EINVAL);
    errno = 0;
    EXPECT_EQ(mesh_zalloc_aligned(100, alignment), nullptr);
    EXPECT_EQ(errno, EINVAL);
    void* object = WithPattern(10);
    errno = 0;
    EXPECT_EQ(mesh_realloc_aligned(object, 100, alignment), nullptr);
    EXPECT_EQ(errno, EINVAL);
    EXPECT_TRUE(HasPattern(object, 10));
    mesh_free(object);
  }
}

// Hardened heaps have them where there is no memory.
TEST(AlignedObjects, OfNoSizeMoveAsOthers) {
  mesh_heap_t* heap = mesh_heap_new();
  for (size_t alignment : {1, 16, 64, 4096, 1 << 16}) {
    void* object = mesh_malloc_aligned(0, alignment);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(object) % alignment, 0u) << alignment;
    EXPECT_TRUE(mesh_heap_contains(nullptr, object)) << alignment;
    EXPECT_TRUE(mesh_is_in_heap(object)) << alignment;
    object = mesh_heap_realloc(heap, object, 100);
    EXPECT_TRUE(mesh_heap_contains(heap, object)) << alignment;
    mesh_free(object);
    object = mesh_realloc_aligned(mesh_malloc_aligned(0, alignment), 100, 4096);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(object) % 4096, 0u) << alignment;
    mesh_free(object);
  }
  mesh_heap_destroy(heap);
}

TEST(AlignedObjects, StayAlignedWhenResized) {
  for (size_t alignment : {8, 16, 64, 512, 4096, 65536}) {
    for (size_t from : {size_t{1}, size_t{100}, size_t{5000}, size_t{100'000}}) {
      for (size_t to : {size_t{1}, size_t{90}, size_t{101}, size_t{4999}, size_t{300'000}}) {
        void* object = WithPattern(from);
        void* resized = mesh_realloc_aligned(object, to, alignment);
        ASSERT_NE(resized, nullptr);
        EXPECT_TRUE(IsAligned(resized, alignment));
        EXPECT_GE(mesh_usable_size(resized), to);
        EXPECT_TRUE(HasPattern(resized, from < to ? from : to));
        // What fits and is aligned stays.
        if (alignment > 16 && to >= mesh_usable_size(resized) / 2) {
          EXPECT_EQ(mesh_realloc_aligned(resized, to, alignment), resized);
        }
        EXPECT_EQ(mesh_realloc_aligned(resized, 0, alignment), nullptr);
      }
    }
  }
  void* object = mesh_realloc_aligned(nullptr, 10, 256);
  EXPECT_TRUE(IsAligned(object, 256));
  mesh_free(object);
}

}  // namespace
