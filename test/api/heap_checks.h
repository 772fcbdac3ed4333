// What the tests of first-class heaps share.
//
// Thread rule: the test's thread.
#pragma once

#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <set>

#include "src/libmesh/mesh/mesh.h"

namespace mesh {

// Small ones, whole pages, and objects with pages of their own.
inline constexpr size_t kSizes[] = {1,    16,   24,    100,    700,      2000,
                                    4096, 9000, 32768, 40'000, 1'500'000};

inline void Fill(void* object, size_t size) {
  memset(object, static_cast<int>(reinterpret_cast<uintptr_t>(object) >> 4 & 0xff), size);
}

inline bool IsFilled(const void* object, size_t size, const void* from) {
  const auto* bytes = static_cast<const unsigned char*>(object);
  const auto value = static_cast<unsigned char>(reinterpret_cast<uintptr_t>(from) >> 4);
  for (size_t i = 0; i < size; i++) {
    if (bytes[i] != value) return false;
  }
  return true;
}

inline std::set<void*> Visited(mesh_heap_t* heap) {
  std::set<void*> found;
  auto note = [](mesh_heap_t*, void* object, size_t usable, void* argument) {
    EXPECT_EQ(usable, mesh_usable_size(object));
    EXPECT_TRUE(static_cast<std::set<void*>*>(argument)->insert(object).second);
    return true;
  };
  EXPECT_EQ(mesh_heap_visit_blocks(heap, note, &found), 0);
  return found;
}

}  // namespace mesh
