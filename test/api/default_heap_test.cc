// mesh_heap_set_default: a thread's malloc takes memory from a heap.
#include <gtest/gtest.h>

#include <thread>
#include <vector>

#include "src/libmesh/mesh/mesh.h"
#include "src/runtime/heap.h"
#include "test/api/heap_checks.h"

namespace mesh {
namespace {

TEST(DefaultHeap, ServesMallocOfItsThread) {
  mesh_heap_t* heap = mesh_heap_new();
  mesh_heap_t* other = mesh_heap_new();
  void* main = mesh_malloc(100);
  EXPECT_EQ(mesh_heap_set_default(heap), nullptr);
  EXPECT_EQ(mesh_heap_get_default(), heap);
  std::vector<void*> objects;
  for (size_t size : kSizes) {
    objects.push_back(mesh_malloc(size));
    objects.push_back(mesh_zalloc(size));
    objects.push_back(mesh_malloc_aligned(size, 1024));
    objects.push_back(mesh_strdup("text"));
    objects.push_back(Malloc(size));
  }
  for (void* object : objects) EXPECT_TRUE(mesh_heap_contains(heap, object));
  std::thread([&] {
    EXPECT_EQ(mesh_heap_get_default(), nullptr);
    void* theirs = mesh_malloc(100);
    EXPECT_TRUE(mesh_heap_contains(nullptr, theirs));
    mesh_free(theirs);
    mesh_heap_set_default(other);  // and ends with it
    EXPECT_TRUE(mesh_heap_contains(other, mesh_malloc(100)));
  }).join();
  // What was allocated before is freed as ever.
  mesh_free(main);
  EXPECT_EQ(mesh_heap_set_default(other), heap);
  EXPECT_TRUE(mesh_heap_contains(other, mesh_malloc(100)));
  EXPECT_EQ(mesh_heap_set_default(nullptr), other);
  EXPECT_EQ(mesh_heap_get_default(), nullptr);
  main = mesh_malloc(100);
  EXPECT_TRUE(mesh_heap_contains(nullptr, main));
  mesh_free(main);
  for (void* object : objects) mesh_free(object);
  EXPECT_TRUE(Visited(heap).empty());
  mesh_heap_destroy(heap);
  mesh_heap_destroy(other);
}

TEST(DefaultHeap, EndsWithTheHeap) {
  for (size_t size : {100, 100'000}) {
    mesh_heap_t* heap = mesh_heap_new();
    mesh_heap_set_default(heap);
    EXPECT_TRUE(mesh_heap_contains(heap, mesh_malloc(size)));
    std::thread([&] { mesh_heap_destroy(heap); }).join();
    // The next heap may have the same handle, and is not the default one.
    mesh_heap_t* next = mesh_heap_new();
    void* object = mesh_malloc(size);
    EXPECT_TRUE(mesh_heap_contains(nullptr, object));
    EXPECT_EQ(mesh_heap_get_default(), nullptr);
    mesh_free(object);
    mesh_heap_destroy(next);
  }
}

}  // namespace
}  // namespace mesh
