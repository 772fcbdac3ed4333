// The functions of mesh/mesh.h for first-class heaps.
#include <gtest/gtest.h>

#include <atomic>
#include <cerrno>
#include <cstdint>
#include <random>
#include <set>
#include <thread>
#include <vector>

#include "src/libmesh/mesh/mesh.h"
#include "test/api/heap_checks.h"

namespace mesh {
namespace {

size_t MeshedPages() {
  size_t value = 0;
  size_t length = sizeof(value);
  EXPECT_EQ(mesh_mallctl("stats.meshed_pages_now", &value, &length, nullptr, 0), 0);
  return value;
}

bool CanMesh() {
  bool meshing = true;
  size_t length = sizeof(meshing);
  return mesh_mallctl("opt.meshing", &meshing, &length, nullptr, 0) != 0 || meshing;
}

// Keeps a random tenth of many objects, and returns those.
std::vector<void*> Thinned(mesh_heap_t* heap, size_t size, int count) {
  std::mt19937 random(7);
  std::vector<void*> kept;
  std::vector<void*> freed;
  for (int i = 0; i < count; i++) {
    void* object = mesh_heap_malloc(heap, size);
    Fill(object, size);
    (random() % 10 == 0 ? kept : freed).push_back(object);
  }
  for (void* object : freed) mesh_free(object);
  return kept;
}

TEST(Heaps, HaveObjectsOfTheirOwn) {
  mesh_heap_t* one = mesh_heap_new();
  mesh_heap_t* other = mesh_heap_new();
  ASSERT_NE(one, nullptr);
  ASSERT_NE(other, nullptr);
  for (size_t size : kSizes) {
    void* object = mesh_heap_malloc(one, size);
    void* zeroed = mesh_heap_zalloc(other, size);
    void* counted = mesh_heap_calloc(one, size, 2);
    void* plain = mesh_malloc(size);
    for (void* each : {object, zeroed, counted, plain}) {
      ASSERT_NE(each, nullptr);
      EXPECT_EQ(reinterpret_cast<uintptr_t>(each) % 16, 0u);
    }
    EXPECT_GE(mesh_usable_size(object), size);
    EXPECT_GE(mesh_usable_size(object), mesh_good_size(size));
    EXPECT_EQ(mesh_usable_size(plain), mesh_good_size(size));
    for (size_t i = 0; i < mesh_usable_size(zeroed); i++) {
      ASSERT_EQ(static_cast<char*>(zeroed)[i], 0);
    }
    Fill(object, mesh_usable_size(object));
    EXPECT_TRUE(mesh_heap_contains(one, object));
    EXPECT_TRUE(mesh_heap_contains(one, counted));
    EXPECT_FALSE(mesh_heap_contains(other, object));
    EXPECT_FALSE(mesh_heap_contains(nullptr, object));
    EXPECT_TRUE(mesh_heap_contains(other, zeroed));
    EXPECT_TRUE(mesh_heap_contains(nullptr, plain));
    EXPECT_FALSE(mesh_heap_contains(one, plain));
    EXPECT_TRUE(mesh_is_in_heap(object));
    EXPECT_TRUE(IsFilled(object, mesh_usable_size(object), object));
    mesh_free(object);
    mesh_free(zeroed);
    mesh_free(counted);
    mesh_free(plain);
  }
  int local = 0;
  EXPECT_FALSE(mesh_heap_contains(one, &local));
  EXPECT_FALSE(mesh_heap_contains(nullptr, &local));
  mesh_heap_delete(one);
  mesh_heap_destroy(other);
  mesh_heap_delete(nullptr);
  mesh_heap_destroy(nullptr);
}

TEST(Heaps, NullIsTheMainHeap) {
  void* object = mesh_heap_malloc(nullptr, 10);
  EXPECT_TRUE(mesh_heap_contains(nullptr, object));
  object = mesh_heap_realloc(nullptr, object, 1000);
  mesh_free(object);
  mesh_free(mesh_heap_zalloc(nullptr, 10));
  mesh_free(mesh_heap_malloc_aligned(nullptr, 10, 64));
  mesh_free(mesh_heap_zalloc_aligned(nullptr, 10, 64));
  mesh_heap_collect(nullptr, false);
}

TEST(Heaps, RefuseWhatCannotBeHad) {
  mesh_heap_t* heap = mesh_heap_new();
  errno = 0;
  EXPECT_EQ(mesh_heap_malloc(heap, SIZE_MAX), nullptr);
  EXPECT_EQ(errno, ENOMEM);
  errno = 0;
  EXPECT_EQ(mesh_heap_calloc(heap, SIZE_MAX / 2, 4), nullptr);
  EXPECT_EQ(errno, ENOMEM);
  errno = 0;
  EXPECT_EQ(mesh_heap_malloc_aligned(heap, 10, 48), nullptr);
  EXPECT_EQ(errno, EINVAL);
  errno = 0;
  EXPECT_EQ(mesh_heap_zalloc_aligned(heap, 10, 0), nullptr);
  EXPECT_EQ(errno, EINVAL);
  errno = 0;
  EXPECT_EQ(mesh_heap_realloc_aligned(heap, nullptr, 10, 3), nullptr);
  EXPECT_EQ(errno, EINVAL);
  mesh_heap_destroy(heap);
}

TEST(Heaps, AlignedObjects) {
  mesh_heap_t* heap = mesh_heap_new();
  for (size_t alignment = 1; alignment <= 65536; alignment *= 2) {
    for (size_t size : kSizes) {
      void* object = mesh_heap_malloc_aligned(heap, size, alignment);
      EXPECT_EQ(reinterpret_cast<uintptr_t>(object) % alignment, 0u);
      EXPECT_TRUE(mesh_heap_contains(heap, object));
      Fill(object, size);
      void* resized = mesh_heap_realloc_aligned(heap, object, 2 * size, alignment);
      EXPECT_EQ(reinterpret_cast<uintptr_t>(resized) % alignment, 0u);
      EXPECT_TRUE(IsFilled(resized, size, object));
      mesh_free(resized);
      object = mesh_heap_zalloc_aligned(heap, size, alignment);
      EXPECT_EQ(reinterpret_cast<uintptr_t>(object) % alignment, 0u);
      EXPECT_EQ(static_cast<char*>(object)[mesh_usable_size(object) - 1], 0);
      mesh_free(object);
    }
  }
  EXPECT_TRUE(Visited(heap).empty());
  mesh_heap_destroy(heap);
}

TEST(Heaps, ReallocStaysInItsHeap) {
  mesh_heap_t* heap = mesh_heap_new();
  for (size_t from : kSizes) {
    for (size_t to : kSizes) {
      void* object = mesh_heap_malloc(heap, from);
      Fill(object, from);
      void* resized = mesh_realloc(object, to);
      ASSERT_NE(resized, nullptr);
      EXPECT_GE(mesh_usable_size(resized), to);
      EXPECT_TRUE(mesh_heap_contains(heap, resized)) << from << " " << to;
      EXPECT_TRUE(IsFilled(resized, from < to ? from : to, object));
      mesh_free(resized);
    }
  }
  EXPECT_TRUE(Visited(heap).empty());
  mesh_heap_destroy(heap);
}

TEST(Heaps, HeapReallocMovesBetweenHeaps) {
  mesh_heap_t* one = mesh_heap_new();
  mesh_heap_t* other = mesh_heap_new();
  for (size_t size : kSizes) {
    void* object = mesh_heap_realloc(one, nullptr, size);
    Fill(object, size);
    EXPECT_TRUE(mesh_heap_contains(one, object));
    void* moved = mesh_heap_realloc(other, object, size);
    EXPECT_TRUE(mesh_heap_contains(other, moved));
    EXPECT_TRUE(IsFilled(moved, size, object));
    void* main = mesh_heap_realloc(nullptr, moved, size);
    EXPECT_TRUE(mesh_heap_contains(nullptr, main));
    EXPECT_TRUE(IsFilled(main, size, object));
    EXPECT_EQ(mesh_heap_realloc(nullptr, main, 0), nullptr);
  }
  mesh_heap_destroy(one);
  mesh_heap_destroy(other);
}

TEST(Heaps, VisitsAreExactWhileOthersAllocate) {
  mesh_heap_t* heap = mesh_heap_new();
  mesh_heap_t* busy = mesh_heap_new();
  std::atomic<bool> stops{false};
  std::thread other([&] {
    std::mt19937 random(1);
    std::vector<void*> objects(500);
    while (!stops) {
      void*& object = objects[random() % objects.size()];
      mesh_free(object);
      object =
          random() % 2 ? mesh_heap_malloc(busy, random() % 3000) : mesh_malloc(random() % 3000);
      if (random() % 2000 == 0) mesh_collect(true);
    }
    for (void* object : objects) mesh_free(object);
  });
  std::mt19937 random(2);
  std::set<void*> live;
  for (int round = 0; round < 30; round++) {
    for (int i = 0; i < 1000; i++) live.insert(mesh_heap_malloc(heap, kSizes[random() % 10]));
    for (auto it = live.begin(); it != live.end();) {
      if (random() % 2 == 0) {
        mesh_free(*it);
        it = live.erase(it);
      } else {
        ++it;
      }
    }
    ASSERT_EQ(Visited(heap), live);
  }
  stops = true;
  other.join();
  mesh_heap_destroy(heap);
  mesh_heap_destroy(busy);
}

TEST(Heaps, NothingVisitsNothing) {
  mesh_heap_t* heap = mesh_heap_new();
  mesh_free(mesh_heap_malloc(heap, 100));
  auto visitor = [](mesh_heap_t*, void*, size_t, void*) { return false; };
  EXPECT_EQ(mesh_heap_visit_blocks(nullptr, visitor, nullptr), EINVAL);
  EXPECT_EQ(mesh_heap_visit_blocks(heap, nullptr, nullptr), EINVAL);
  EXPECT_EQ(mesh_heap_visit_blocks(heap, visitor, nullptr), 0);
  mesh_heap_destroy(heap);
}

TEST(Heaps, AVisitorMayFreeAndEnd) {
  mesh_heap_t* heap = mesh_heap_new();
  for (int i = 0; i < 5000; i++) mesh_heap_malloc(heap, 50 + static_cast<size_t>(i % 3) * 40'000);
  auto free_some = [](mesh_heap_t* of, void* object, size_t, void* argument) {
    mesh_free(mesh_heap_malloc(of, 50));
    mesh_free(object);
    return --*static_cast<int*>(argument) > 0;
  };
  int left = 100;
  EXPECT_EQ(mesh_heap_visit_blocks(heap, free_some, &left), ECANCELED);
  EXPECT_EQ(Visited(heap).size(), 4900u);
  left = 1'000'000;
  EXPECT_EQ(mesh_heap_visit_blocks(heap, free_some, &left), 0);
  EXPECT_TRUE(Visited(heap).empty());
  mesh_heap_destroy(heap);
}

TEST(Heaps, MeshingStaysInside) {
  mesh_heap_t* one = mesh_heap_new();
  mesh_heap_t* other = mesh_heap_new();
  mesh_collect(true);
  size_t before = MeshedPages();
  std::vector<void*> kept = Thinned(one, 64, 100'000);
  std::vector<void*> others = Thinned(other, 64, 100'000);
  mesh_heap_collect(one, true);
  size_t after_one = MeshedPages();
  mesh_heap_collect(other, true);
  size_t after_both = MeshedPages();
  if (CanMesh()) {
    // 1,600 pages each, of which a tenth is in use.
    EXPECT_GT(after_one, before + 600);
    EXPECT_GT(after_both, after_one + 600);
  }
  for (void* object : kept) ASSERT_TRUE(IsFilled(object, 64, object));
  EXPECT_EQ(Visited(one), std::set<void*>(kept.begin(), kept.end()));
  // What one heap's members share goes with it; the other's stays.
  mesh_heap_destroy(one);
  for (void* object : others) ASSERT_TRUE(IsFilled(object, 64, object));
  EXPECT_EQ(Visited(other), std::set<void*>(others.begin(), others.end()));
  for (void* object : others) mesh_free(object);
  EXPECT_TRUE(Visited(other).empty());
  mesh_heap_destroy(other);
}

TEST(Heaps, AllAreMeshedWithTheMainHeap) {
  mesh_heap_t* heap = mesh_heap_new();
  mesh_collect(true);
  size_t before = MeshedPages();
  std::vector<void*> kept = Thinned(heap, 64, 100'000);
  mesh_collect(true);
  if (CanMesh()) {
    EXPECT_GT(MeshedPages(), before + 600);
  }
  for (void* object : kept) ASSERT_TRUE(IsFilled(object, 64, object));
  mesh_heap_delete(heap);
  for (void* object : kept) {
    ASSERT_TRUE(IsFilled(object, 64, object));
    ASSERT_TRUE(mesh_heap_contains(nullptr, object));
    mesh_free(object);
  }
}

TEST(Heaps, DeletedHeapsLeaveTheirObjects) {
  for (int round = 0; round < 20; round++) {
    mesh_heap_t* heap = mesh_heap_new();
    std::vector<void*> objects;
    std::mt19937 random(static_cast<unsigned>(round));
    for (int i = 0; i < 3000; i++) {
      size_t size = kSizes[random() % 10];
      objects.push_back(mesh_heap_malloc(heap, size));
      Fill(objects.back(), size);
    }
    std::shuffle(objects.begin(), objects.end(), random);
    // Another thread frees meanwhile.
    std::thread other([&] {
      for (size_t i = 0; i < objects.size() / 2; i++) mesh_free(objects[i]);
    });
    mesh_heap_delete(heap);
    other.join();
    for (size_t i = objects.size() / 2; i < objects.size(); i++) {
      ASSERT_TRUE(mesh_heap_contains(nullptr, objects[i]));
      ASSERT_TRUE(IsFilled(objects[i], 1, objects[i]));
      mesh_free(objects[i]);
    }
  }
}

TEST(Heaps, DestroyGivesAllBack) {
  mesh_process_info_t before;
  ASSERT_EQ(mesh_process_info(&before, sizeof(before)), 0);
  for (int round = 0; round < 5; round++) {
    mesh_heap_t* heap = mesh_heap_new();
    std::vector<void*> kept = Thinned(heap, 128, 50'000);
    if (round % 2 == 0) mesh_heap_collect(heap, true);
    for (size_t size : kSizes) Fill(mesh_heap_malloc(heap, size), size);
    mesh_process_info_t during;
    ASSERT_EQ(mesh_process_info(&during, sizeof(during)), 0);
    EXPECT_GE(during.live_bytes, before.live_bytes + kept.size() * 128);
    mesh_heap_destroy(heap);
    mesh_process_info_t after;
    ASSERT_EQ(mesh_process_info(&after, sizeof(after)), 0);
    EXPECT_LE(after.live_bytes, before.live_bytes + 100'000);
  }
}

TEST(Heaps, AnyThreadMayUseOne) {
  mesh_heap_t* heap = mesh_heap_new();
  constexpr int kThreads = 4;
  std::atomic<void*> shared[64] = {};
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; t++) {
    threads.emplace_back([&, t] {
      std::mt19937 random(static_cast<unsigned>(t));
      for (int i = 0; i < 20'000; i++) {
        size_t size = kSizes[random() % 8];
        void* object = mesh_heap_malloc(heap, size);
        Fill(object, size);
        *static_cast<unsigned char*>(object) = 0x77;
        void* old = shared[random() % 64].exchange(object);
        if (old == nullptr) continue;
        EXPECT_EQ(*static_cast<unsigned char*>(old), 0x77);
        mesh_free(old);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  std::set<void*> left;
  for (auto& object : shared) left.insert(object.load());
  left.erase(nullptr);
  EXPECT_EQ(Visited(heap), left);
  mesh_heap_destroy(heap);
}

TEST(Heaps, ManyExistAtATime) {
  std::vector<mesh_heap_t*> heaps;
  for (int i = 0; i < 1000; i++) {
    heaps.push_back(mesh_heap_new());
    ASSERT_NE(heaps.back(), nullptr);
    Fill(mesh_heap_malloc(heaps.back(), 100), 100);
  }
  EXPECT_EQ(std::set<mesh_heap_t*>(heaps.begin(), heaps.end()).size(), heaps.size());
  for (mesh_heap_t* heap : heaps) {
    EXPECT_EQ(Visited(heap).size(), 1u);
    mesh_heap_destroy(heap);
  }
}

using HeapsDeathTest = testing::Test;

TEST(HeapsDeathTest, OneThatHasEndedIsNotUsed) {
  mesh_heap_t* heap = mesh_heap_new();
  mesh_heap_delete(heap);
  EXPECT_DEATH(mesh_heap_malloc(heap, 10), "use of a heap that has ended");
  EXPECT_DEATH(mesh_heap_destroy(heap), "end of a heap that has ended");
  EXPECT_DEATH(mesh_heap_set_default(heap), "use of a heap that has ended");
}

TEST(HeapsDeathTest, MisuseOfFreeIsFound) {
  mesh_heap_t* heap = mesh_heap_new();
  auto* object = static_cast<char*>(mesh_heap_malloc(heap, 100));
  auto* second = static_cast<char*>(mesh_heap_malloc(heap, 100));
  EXPECT_DEATH(mesh_free(object + 16), "into the middle of an object");
  EXPECT_DEATH((mesh_free(object), mesh_free(object)), "double free");
  mesh_free(second);
  EXPECT_DEATH(mesh_free(second), "double free");
  mesh_heap_destroy(heap);
  EXPECT_DEATH(mesh_free(object), "not in use|double free");
}

}  // namespace
}  // namespace mesh
