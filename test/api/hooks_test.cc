// Hooks of mesh/mesh.h: when they are called, and that they may call what they like.
#include <gtest/gtest.h>
#include <malloc.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "src/libmesh/mesh/mesh.h"
#include "test/os/fault_injector.h"

namespace mesh {
namespace {

constexpr size_t kImpossible = size_t{1} << 46;

// What the hooks have been told.
struct Heard {
  std::mutex lock;
  std::vector<uint64_t> beats;
  int forced = 0;
  std::vector<int> errors;
  std::vector<size_t> wants;
  int tries = 0;
  int depth = 0;
  std::string text;
  os::FaultInjector* injector = nullptr;
};

class Hooks : public testing::Test {
 protected:
  ~Hooks() override {
    mesh_register_deferred_free(nullptr, nullptr);
    mesh_register_output(nullptr, nullptr);
    mesh_register_error(nullptr, nullptr);
    mesh_register_out_of_memory(nullptr, nullptr);
  }

  Heard heard_;
};

// As much of the heap as a hook may want to use.
void UseHeap() {
  std::vector<void*> objects;
  for (size_t size : {size_t{16}, size_t{100}, size_t{5000}, size_t{100'000}}) {
    for (int i = 0; i < 50; i++) objects.push_back(mesh_malloc(size));
  }
  mesh_heap_t* heap = mesh_heap_new();
  for (int i = 0; i < 50; i++) memset(mesh_heap_malloc(heap, 200), 1, 200);
  mesh_heap_destroy(heap);
  for (void* object : objects) mesh_free(mesh_realloc(object, 300));
  mesh_collect(false);
}

void NoteBeat(bool force, uint64_t heartbeat, void* argument) {
  auto* heard = static_cast<Heard*>(argument);
  {
    std::lock_guard guard(heard->lock);
    heard->beats.push_back(heartbeat);
    heard->forced += force ? 1 : 0;
  }
  UseHeap();
}

TEST_F(Hooks, DeferredFreeHasAHeartbeat) {
  mesh_register_deferred_free(NoteBeat, &heard_);
  std::vector<void*> objects;
  for (int i = 0; i < 2000; i++) objects.push_back(mesh_malloc(64));
  std::vector<uint64_t> beats = heard_.beats;
  EXPECT_GT(beats.size(), 5u);
  for (size_t i = 1; i < beats.size(); i++) EXPECT_GT(beats[i], beats[i - 1]);
  EXPECT_EQ(heard_.forced, 0);
  mesh_collect(false);
  EXPECT_EQ(heard_.forced, 0);
  mesh_collect(true);
  EXPECT_EQ(heard_.forced, 1);
  mesh_register_deferred_free(nullptr, nullptr);
  size_t before = heard_.beats.size();
  for (int i = 0; i < 2000; i++) objects.push_back(mesh_malloc(64));
  EXPECT_EQ(heard_.beats.size(), before);
  for (void* object : objects) mesh_free(object);
}

TEST_F(Hooks, NoTwoHeartbeatsAreEqual) {
  mesh_register_deferred_free(NoteBeat, &heard_);
  std::vector<std::thread> threads;
  for (int t = 0; t < 3; t++) {
    threads.emplace_back([] {
      std::vector<void*> objects;
      mesh_heap_t* heap = mesh_heap_new();
      for (int i = 0; i < 500; i++) {
        objects.push_back(mesh_malloc(100));
        objects.push_back(mesh_heap_malloc(heap, 100));
        objects.push_back(mesh_malloc(50'000));
      }
      for (void* object : objects) mesh_free(object);
      mesh_heap_delete(heap);
    });
  }
  for (std::thread& thread : threads) thread.join();
  std::set<uint64_t> distinct(heard_.beats.begin(), heard_.beats.end());
  EXPECT_EQ(distinct.size(), heard_.beats.size());
  EXPECT_GT(distinct.size(), 1000u);
}

// Frees what was deferred, as reference counting does.
struct Waiting {
  std::vector<void*> objects;
  size_t freed = 0;
};

void FreeSome(bool force, uint64_t, void* argument) {
  auto* waiting = static_cast<Waiting*>(argument);
  for (int i = 0; !waiting->objects.empty() && (force || i < 8); i++) {
    mesh_free(waiting->objects.back());
    waiting->objects.pop_back();
    waiting->freed++;
  }
}

TEST_F(Hooks, DeferredFreesAreDoneAFewAtATime) {
  Waiting waiting;
  for (int i = 0; i < 1000; i++) waiting.objects.push_back(mesh_malloc(64));
  mesh_register_deferred_free(FreeSome, &waiting);
  std::vector<void*> objects;
  for (int i = 0; i < 500; i++) objects.push_back(mesh_malloc(96));
  EXPECT_GT(waiting.freed, 0u);
  EXPECT_LT(waiting.freed, 1000u);
  mesh_collect(true);
  EXPECT_EQ(waiting.freed, 1000u);
  for (void* object : objects) mesh_free(object);
}

bool TryThrice(size_t size, void* argument) {
  auto* heard = static_cast<Heard*>(argument);
  heard->wants.push_back(size);
  EXPECT_EQ(++heard->depth, 1);
  // One that fails inside is not heard of.
  EXPECT_EQ(mesh_malloc(kImpossible), nullptr);
  UseHeap();
  heard->depth--;
  return ++heard->tries % 3 != 0;
}

TEST_F(Hooks, OutOfMemoryIsAskedUntilItGivesUp) {
  mesh_register_out_of_memory(TryThrice, &heard_);
  mesh_heap_t* heap = mesh_heap_new();
  errno = 0;
  EXPECT_EQ(mesh_malloc(kImpossible), nullptr);
  EXPECT_EQ(errno, ENOMEM);
  EXPECT_EQ(heard_.wants, std::vector<size_t>(3, kImpossible));
  EXPECT_EQ(mesh_zalloc(kImpossible), nullptr);
  EXPECT_EQ(mesh_malloc_aligned(kImpossible, 64), nullptr);
  EXPECT_EQ(mesh_heap_malloc(heap, kImpossible), nullptr);
  EXPECT_EQ(heard_.tries, 12);
  void* object = mesh_malloc(100);
  EXPECT_EQ(mesh_realloc(object, kImpossible), nullptr);
  mesh_free(object);
  EXPECT_GE(heard_.tries, 15);
  int before = heard_.tries;
  // Nobody can help here.
  EXPECT_EQ(mesh_malloc(SIZE_MAX), nullptr);
  EXPECT_EQ(mesh_calloc(SIZE_MAX / 2, 4), nullptr);
  EXPECT_EQ(heard_.tries, before);
  mesh_heap_destroy(heap);
}

bool EndWant(size_t, void* argument) {
  auto* heard = static_cast<Heard*>(argument);
  heard->tries++;
  heard->injector->Reset();
  return true;
}

TEST_F(Hooks, WhatOutOfMemoryFindsIsUsed) {
  os::FaultInjector injector;
  heard_.injector = &injector;
  mesh_register_out_of_memory(EndWant, &heard_);
  mesh_register_error(
      [](int error, void* argument) { static_cast<Heard*>(argument)->errors.push_back(error); },
      &heard_);
  mesh_heap_t* heap = mesh_heap_new();
  for (size_t size : {size_t{700} << 20, size_t{600} << 20}) {
    injector.RefuseAny(ENOMEM, 1, os::FaultInjector::kForever);
    void* object = size == size_t{700} << 20 ? mesh_malloc(size) : mesh_heap_malloc(heap, size);
    ASSERT_NE(object, nullptr);
    mesh_free(object);
  }
  EXPECT_EQ(heard_.tries, 2);
  EXPECT_TRUE(heard_.errors.empty());
  mesh_heap_destroy(heap);
}

void NoteErrorHere(int error, void* argument) {
  auto* heard = static_cast<Heard*>(argument);
  heard->errors.push_back(error);
  UseHeap();
  errno = 1;
}

TEST_F(Hooks, ErrorsAreToldOnce) {
  mesh_register_error(NoteErrorHere, &heard_);
  auto expect = [&](int error) {
    EXPECT_EQ(heard_.errors, std::vector<int>{error});
    EXPECT_EQ(errno, error);
    heard_.errors.clear();
  };
  EXPECT_EQ(mesh_malloc(kImpossible), nullptr);
  expect(ENOMEM);
  EXPECT_EQ(mesh_malloc(SIZE_MAX), nullptr);
  expect(ENOMEM);
  EXPECT_EQ(mesh_calloc(SIZE_MAX, SIZE_MAX), nullptr);
  expect(ENOMEM);
  EXPECT_EQ(mesh_zalloc(SIZE_MAX), nullptr);
  expect(ENOMEM);
  EXPECT_EQ(mesh_malloc_aligned(10, 48), nullptr);
  expect(EINVAL);
  EXPECT_EQ(mesh_malloc_aligned_at(10, 65536, 8), nullptr);
  expect(EINVAL);
  void* object = mesh_malloc(10);
  EXPECT_EQ(mesh_recallocarray(object, SIZE_MAX, 1, 2), nullptr);
  expect(EINVAL);
  EXPECT_EQ(mesh_realloc(object, kImpossible), nullptr);
  expect(ENOMEM);
  mesh_free(object);
  EXPECT_TRUE(heard_.errors.empty());
}

using HooksDeathTest = Hooks;

// A complaint may come with any lock of the heap held; the hook allocates all the same.
void SayError(int error, void*) {
  std::vector<void*> objects;
  for (size_t size : {size_t{10}, size_t{40}, size_t{5000}, size_t{100'000}}) {
    for (int i = 0; i < 20; i++) {
      void* object = mesh_realloc(memset(mesh_malloc(size), 7, size), 2 * size);
      if (static_cast<char*>(object)[size - 1] != 7) _exit(3);
      objects.push_back(object);
    }
  }
  objects.push_back(mesh_malloc_aligned(10, 64));
  for (void* object : objects) mesh_free(object);
  fprintf(stderr, "told of %s\n", error == EAGAIN ? "EAGAIN" : "EFAULT");
}

TEST_F(HooksDeathTest, ComplaintsAreTold) {
  mesh_register_error(SayError, nullptr);
  mesh_heap_t* heap = mesh_heap_new();
  auto* object = static_cast<char*>(mesh_heap_malloc(heap, 40));
  static_cast<void>(mesh_heap_malloc(heap, 40));
  EXPECT_DEATH((mesh_free(object), mesh_free(object)), "mesh: double free.*\n.*told of EAGAIN");
  EXPECT_DEATH(mesh_free(object + 16), "mesh: free of a pointer into.*\n.*told of EFAULT");
  auto* plain = static_cast<char*>(mesh_malloc(40));
  EXPECT_DEATH((mesh_free(plain), mesh_free(plain)), "mesh: double free.*\n.*told of EAGAIN");
  mesh_free(plain);
  mesh_heap_destroy(heap);
}

TEST_F(HooksDeathTest, AComplaintInAHookEndsTheProgram) {
  mesh_heap_t* ended = mesh_heap_new();
  mesh_heap_delete(ended);
  mesh_register_error([](int, void* heap) { mesh_heap_destroy(static_cast<mesh_heap_t*>(heap)); },
                      ended);
  EXPECT_DEATH(mesh_free(static_cast<char*>(mesh_malloc(64)) + 16),
               "mesh: free of a pointer.*\nmesh: end of a heap that has ended");
}

TEST_F(HooksDeathTest, OutputIsHandedOver) {
  mesh_register_output(
      [](const char* text, void*) {
        fprintf(stderr, "<%s>", text);
        UseHeap();
      },
      nullptr);
  EXPECT_DEATH(mesh_free(static_cast<char*>(mesh_malloc(64)) + 16), "<mesh: free of a pointer");
}

}  // namespace
}  // namespace mesh
