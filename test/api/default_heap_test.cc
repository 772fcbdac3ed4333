// mesh_heap_set_default: a thread's malloc takes memory from a heap.
#include <gtest/gtest.h>

#include <thread>
#include <vector>

#include "src/libmesh/mesh/mesh.h"
#include "src/runtime/heap.h"
#include "src/runtime/runtime.h"
#include "test/api/heap_checks.h"

namespace mesh {
namespace {

// Slots that are not free, whoever has them.
size_t InUse() {
  size_t slots = 0;
  for (SizeClassHeap& heap : Runtime::Get().global().size_class_heaps()) {
    slots += heap.statistics().in_use;
  }
  return slots;
}

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

TEST(DefaultHeap, NullIsTheMainHeapAllTheSame) {
  mesh_heap_t* heap = mesh_heap_new();
  void* main = mesh_malloc(100);
  mesh_heap_set_default(heap);
  for (size_t size : kSizes) {
    std::vector<void*> objects = {
        mesh_heap_malloc(nullptr, size),
        mesh_heap_zalloc(nullptr, size),
        mesh_heap_calloc(nullptr, 1, size),
        mesh_heap_malloc_aligned(nullptr, size, 64),
        mesh_heap_zalloc_aligned(nullptr, size, 64),
        mesh_heap_realloc(nullptr, nullptr, size),
        mesh_heap_realloc(nullptr, mesh_malloc(10), size),
        mesh_heap_realloc_aligned(nullptr, mesh_malloc(10), size, 64),
    };
    main = mesh_heap_realloc(nullptr, main, size);
    objects.push_back(mesh_heap_realloc_aligned(nullptr, mesh_heap_malloc(nullptr, 10), size, 64));
    EXPECT_TRUE(mesh_heap_contains(nullptr, main)) << size;
    for (void* object : objects) {
      EXPECT_TRUE(mesh_heap_contains(nullptr, object)) << size;
      mesh_free(object);
    }
    EXPECT_EQ(mesh_heap_get_default(), heap);
  }
  mesh_free(main);
  EXPECT_TRUE(Visited(heap).empty());
  mesh_heap_destroy(heap);
}

// What has to move goes where the thread's memory comes from.
TEST(DefaultHeap, ServesReallocOfMainObjects) {
  mesh_heap_t* heap = mesh_heap_new();
  for (size_t size : {5000, 100'000}) {
    void* object = mesh_malloc(100);
    mesh_heap_set_default(heap);
    object = mesh_realloc(object, size);
    EXPECT_TRUE(mesh_heap_contains(heap, object)) << size;
    mesh_heap_set_default(nullptr);
  }
  mesh_heap_destroy(heap);
}

// What the thread keeps ready is there again when its default heap has ended.
TEST(DefaultHeap, WhatWasReadyIsUsedAfterItsEnd) {
  mesh_free(mesh_malloc(100));
  mesh_collect(true);  // nothing is ready
  const size_t before = InUse();
  mesh_free(mesh_malloc(100));
  for (int i = 0; i < 100; i++) {
    mesh_heap_t* heap = mesh_heap_new();
    mesh_heap_set_default(heap);
    mesh_heap_destroy(heap);
    mesh_free(mesh_malloc(100));
  }
  mesh_collect(true);
  EXPECT_EQ(InUse(), before);
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
