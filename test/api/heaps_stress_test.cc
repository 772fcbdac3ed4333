// Heaps against a model: threads that allocate from any heap, free and resize each other's objects,
// visit, delete and destroy heaps, set default ones, compact all the while, and fork children that
// go on with all of it. Every byte of every object is checked.
//
// MESH_TEST_SEED repeats a run as far as threads let it; the seed is printed. There are no forks
// under a sanitizer that does not follow the children of threaded processes.
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <mutex>
#include <random>
#include <set>
#include <shared_mutex>
#include <thread>
#include <vector>

#include "src/base/sanitizer.h"
#include "src/libmesh/mesh/mesh.h"
#include "src/runtime/heap.h"
#include "src/runtime/runtime.h"

namespace {

constexpr int kThreads = 3;
constexpr int kSteps = 25'000;
constexpr size_t kHeaps = 5;
constexpr size_t kMostObjects = 4000;  // of a heap

struct Object {
  unsigned char* bytes;
  size_t size;
  unsigned char stamp;
  uint64_t serial;  // another one for each that is made or resized
};

// A heap and what should be in it. Who allocates or frees holds `life` shared, who ends it alone.
struct Heap {
  std::shared_mutex life;
  mesh_heap_t* handle = nullptr;  // null: the main heap
  std::mutex lock;
  std::vector<Object> objects;
};

class Model {
 public:
  explicit Model(unsigned seed) : seed_(seed) {
    for (Heap& heap : heaps_) heap.handle = mesh_heap_new();
  }

  void Live(int thread, int steps) {
    std::mt19937 random(seed_ + static_cast<unsigned>(thread));
    for (int i = 0; i < steps; i++) Step(random);
    mesh_heap_set_default(nullptr);
  }

  void CheckAll() {
    for (Heap& heap : heaps_) CheckHeap(heap);
    for (const Object& object : main_.objects) Check(object);
  }

  void DestroyAll() {
    for (Heap& heap : heaps_) {
      mesh_heap_destroy(heap.handle);
      heap.objects.clear();
    }
    for (const Object& object : main_.objects) mesh_free(object.bytes);
    main_.objects.clear();
  }

 private:
  static size_t DrawSize(std::mt19937& random) {
    uint32_t kind = random() % 100;
    if (kind < 80) return 1 + random() % 300;
    if (kind < 97) return 1 + random() % 5000;
    return 1 + random() % 200'000;
  }

  Object Made(void* memory, size_t size, std::mt19937& random) {
    Object object{static_cast<unsigned char*>(memory), size, static_cast<unsigned char>(random()),
                  ++serials_};
    memset(object.bytes, object.stamp, size);
    return object;
  }

  static void Check(const Object& object) {
    for (size_t i = 0; i < object.size; i++) {
      if (object.bytes[i] == object.stamp) continue;
      ADD_FAILURE() << "byte " << i << " of " << object.size << " at "
                    << static_cast<void*>(object.bytes);
      abort();
    }
  }

  void Step(std::mt19937& random) {
    Heap& heap = random() % 8 == 0 ? main_ : heaps_[random() % kHeaps];
    uint32_t kind = random() % 1000;
    if (kind < 2 && &heap != &main_) return EndHeap(heap, random);
    std::shared_lock life(heap.life);
    if (kind < 5) {
      mesh_heap_collect(heap.handle, random() % 2 == 0);
    } else if (kind < 8) {
      VisitSome(heap);
    } else if (kind < 80) {
      Resize(heap, random);
    } else if (kind < 480) {
      FreeOne(heap, random);
    } else {
      Allocate(heap, random);
    }
  }

  void Allocate(Heap& heap, std::mt19937& random) {
    size_t size = DrawSize(random);
    void* memory = nullptr;
    switch (random() % 8) {
      case 0:
        memory = mesh_heap_zalloc(heap.handle, size);
        for (size_t i = 0; i < size; i++) ASSERT_EQ(static_cast<char*>(memory)[i], 0);
        break;
      case 1:
        memory = mesh_heap_malloc_aligned(heap.handle, size, size_t{1} << random() % 13);
        break;
      case 2:
        mesh_heap_set_default(heap.handle);
        memory = mesh::Malloc(size);
        mesh_heap_set_default(nullptr);
        break;
      case 3:
        memory = heap.handle == nullptr ? mesh_malloc_aligned_at(size, 64, random() % 100)
                                        : mesh_heap_malloc(heap.handle, size);
        break;
      default:
        memory = mesh_heap_malloc(heap.handle, size);
    }
    ASSERT_NE(memory, nullptr);
    Object object = Made(memory, size, random);
    std::lock_guard guard(heap.lock);
    if (heap.objects.size() < kMostObjects) {
      heap.objects.push_back(object);
    } else {
      mesh_free(object.bytes);
    }
  }

  bool TakeOne(Heap& heap, std::mt19937& random, Object* object) {
    std::lock_guard guard(heap.lock);
    if (heap.objects.empty()) return false;
    std::swap(heap.objects[random() % heap.objects.size()], heap.objects.back());
    *object = heap.objects.back();
    heap.objects.pop_back();
    return true;
  }

  void FreeOne(Heap& heap, std::mt19937& random) {
    Object object;
    if (!TakeOne(heap, random, &object)) return;
    Check(object);
    ASSERT_TRUE(mesh_heap_contains(heap.handle, object.bytes));
    mesh_free(object.bytes);
  }

  void Resize(Heap& heap, std::mt19937& random) {
    Object object;
    if (!TakeOne(heap, random, &object)) return;
    size_t size = DrawSize(random);
    void* memory = random() % 2 == 0 ? mesh_realloc(object.bytes, size)
                                     : mesh_heap_realloc(heap.handle, object.bytes, size);
    Object resized{static_cast<unsigned char*>(memory), std::min(size, object.size), object.stamp,
                   0};
    Check(resized);
    resized = Made(memory, size, random);
    std::lock_guard guard(heap.lock);
    heap.objects.push_back(resized);
  }

  // Others allocate and free meanwhile: what is there throughout has to be found.
  void VisitSome(Heap& heap) {
    if (heap.handle == nullptr) return;
    std::vector<Object> before;
    {
      std::lock_guard guard(heap.lock);
      before = heap.objects;
    }
    std::set<void*> found = Visited(heap);
    std::lock_guard guard(heap.lock);
    std::set<uint64_t> after;
    for (const Object& object : heap.objects) after.insert(object.serial);
    for (const Object& object : before) {
      if (after.count(object.serial) == 0) continue;
      ASSERT_EQ(found.count(object.bytes), 1u);
    }
  }

  static std::set<void*> Visited(Heap& heap) {
    std::set<void*> found;
    // One may come twice: freed, and made anew of another size behind the visit.
    auto note = [](mesh_heap_t*, void* object, size_t, void* argument) {
      static_cast<std::set<void*>*>(argument)->insert(object);
      return true;
    };
    EXPECT_EQ(mesh_heap_visit_blocks(heap.handle, note, &found), 0);
    return found;
  }

  void CheckHeap(Heap& heap) {
    std::set<void*> expected;
    for (const Object& object : heap.objects) {
      Check(object);
      expected.insert(object.bytes);
    }
    ASSERT_EQ(Visited(heap), expected);
  }

  void EndHeap(Heap& heap, std::mt19937& random) {
    std::unique_lock life(heap.life);
    CheckHeap(heap);
    if (random() % 2 == 0) {
      mesh_heap_destroy(heap.handle);
    } else {
      mesh_heap_delete(heap.handle);
      std::lock_guard guard(main_.lock);
      for (const Object& object : heap.objects) main_.objects.push_back(object);
    }
    heap.objects.clear();
    heap.handle = mesh_heap_new();
    ASSERT_NE(heap.handle, nullptr);
  }

  const unsigned seed_;
  std::atomic<uint64_t> serials_{0};
  Heap heaps_[kHeaps];
  Heap main_;
};

unsigned Seed() {
  const char* text = getenv("MESH_TEST_SEED");
  unsigned seed =
      text != nullptr ? static_cast<unsigned>(strtoul(text, nullptr, 10)) : std::random_device()();
  printf("MESH_TEST_SEED=%u\n", seed);
  fflush(stdout);
  mesh::Runtime& runtime = mesh::Runtime::Get();
  runtime.set_period_ms(1);
  mesh::BarrierChoice choice = runtime.options().barrier();
  // These threads lend no memory of this heap to the kernel: all of it is published, so to say.
  if (choice == mesh::BarrierChoice::kSegv) runtime.global().barrier().buffers().Enable();
  return seed;
}

TEST(HeapsStress, ThreadsAgree) {
  unsigned seed = Seed();
  Model model(seed);
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; t++) {
    threads.emplace_back([&, t] { model.Live(t, kSteps); });
  }
  for (std::thread& thread : threads) thread.join();
  model.CheckAll();
  mesh_collect(true);
  model.CheckAll();
  model.DestroyAll();
}

// Who deletes a heap hands its objects over, while others free and resize them: none is left in it
// for the next heap that takes its place.
TEST(HeapsStress, ObjectsAreResizedWhileTheirHeapIsDeleted) {
  std::mt19937 random(Seed());
  for (int round = 0; round < 150; round++) {
    mesh_heap_t* heap = mesh_heap_new();
    std::vector<void*> objects;
    for (int i = 0; i < 1500; i++) {
      size_t size = 1 + random() % (i % 100 == 0 ? 100'000 : 2'000);
      objects.push_back(memset(mesh_heap_malloc(heap, size), i, size));
    }
    std::atomic<bool> goes = false;
    std::vector<std::thread> threads;
    for (size_t t = 0; t < kThreads; t++) {
      threads.emplace_back([&, t] {
        while (!goes) std::this_thread::yield();
        for (size_t i = t; i < objects.size(); i += kThreads) {
          objects[i] = mesh_realloc(objects[i], 2'500 + i);
        }
      });
    }
    goes = true;
    mesh_heap_delete(heap);
    for (std::thread& thread : threads) thread.join();
    heap = mesh_heap_new();
    auto visitor = [](mesh_heap_t*, void*, size_t, void*) { return false; };
    EXPECT_EQ(mesh_heap_visit_blocks(heap, visitor, nullptr), 0) << "round " << round;
    mesh_heap_destroy(heap);
    for (size_t i = 0; i < objects.size(); i++) {
      EXPECT_TRUE(mesh_heap_contains(nullptr, objects[i]));
      EXPECT_EQ(*static_cast<unsigned char*>(objects[i]), i & 0xff);
      mesh_free(objects[i]);
    }
  }
}

// A model that the forking thread alone uses, while others use theirs in the same heaps' classes.
TEST(HeapsStress, ChildrenGoOn) {
  if (!mesh::kFollowsForks) GTEST_SKIP() << "the sanitizer does not follow children";
  unsigned seed = Seed();
  Model model(seed);
  Model of_others(seed + 1);
  std::vector<std::thread> threads;
  for (int t = 1; t < kThreads; t++) {
    threads.emplace_back([&, t] { of_others.Live(t, kSteps / 2); });
  }
  for (int round = 0; round < 12; round++) {
    model.Live(100 + round, kSteps / 20);
    mesh_collect(true);
    pid_t child = fork();
    ASSERT_NE(child, -1);
    if (child == 0) {
      model.CheckAll();
      model.Live(1000 + round, kSteps / 20);
      mesh_collect(true);
      model.CheckAll();
      model.DestroyAll();
      _exit(testing::Test::HasFailure() ? 1 : 0);
    }
    model.CheckAll();
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    ASSERT_EQ(status, 0);
    model.CheckAll();
  }
  for (std::thread& thread : threads) thread.join();
  of_others.CheckAll();
  model.DestroyAll();
  of_others.DestroyAll();
}

}  // namespace
