// Tests of threads that come and go: their heaps are used again, and nothing stays behind.
#include <gtest/gtest.h>
#include <pthread.h>

#include <atomic>
#include <cstring>
#include <thread>
#include <vector>

#include "src/arena/metadata.h"
#include "src/base/sanitizer.h"
#include "src/runtime/heap.h"
#include "src/runtime/runtime.h"

namespace mesh {
namespace {

uint64_t SpanCount() {
  uint64_t spans = 0;
  for (SizeClassHeap& heap : Runtime::Get().global().size_class_heaps()) {
    heap.CheckInvariants();
    spans += heap.statistics().spans;
  }
  return spans;
}

void AllocateOfEverySize(int of_each = 50) {
  std::vector<void*> objects;
  for (size_t size = 8; size <= 32768; size += size / 4 + 8) {
    for (int i = 0; i < of_each; i++) {
      void* object = Malloc(size);
      memset(object, 1, size);
      objects.push_back(object);
    }
  }
  for (void* object : objects) Free(object);
}

class Threads : public testing::Test {
 protected:
  Threads() {
    Runtime::Get().set_period_ms(0);
    Free(Malloc(1));  // this thread has a heap from here on
    Runtime::Get().Compact();
    spans_ = SpanCount();
    threads_ = Runtime::Get().registry().thread_count();
  }
  ~Threads() override {
    Runtime::Get().Compact();
    EXPECT_EQ(SpanCount(), spans_);
    EXPECT_EQ(Runtime::Get().registry().thread_count(), threads_);
  }

  uint64_t spans_;
  size_t threads_;
};

TEST_F(Threads, AnEndedThreadLeavesNothing) {
  for (int round = 0; round < 3; round++) {
    std::thread([] { AllocateOfEverySize(); }).join();
    EXPECT_EQ(SpanCount(), spans_);
    EXPECT_EQ(Runtime::Get().registry().cached_bytes(), 0u);
  }
}

TEST_F(Threads, ObjectsOutliveTheirThread) {
  std::vector<char*> objects;
  std::thread([&] {
    for (int i = 0; i < 1000; i++) {
      objects.push_back(static_cast<char*>(Malloc(100)));
      memset(objects.back(), i, 100);
    }
  }).join();
  for (int i = 0; i < 1000; i++) {
    EXPECT_EQ(objects[i][99], static_cast<char>(i));
    Free(objects[i]);
  }
}

TEST_F(Threads, ThreeHundredAtOnce) {
  constexpr int kThreads = 300;
  std::atomic<int> running = 0;
  std::atomic<bool> may_end = false;
  std::vector<std::thread> threads;
  for (int i = 0; i < kThreads; i++) {
    threads.emplace_back([&] {
      void* object = Malloc(64);
      AllocateOfEverySize(5);
      running++;
      while (!may_end) std::this_thread::sleep_for(std::chrono::milliseconds(1));
      Free(object);
    });
  }
  while (running < kThreads) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  EXPECT_EQ(Runtime::Get().registry().thread_count(), threads_ + kThreads);
  may_end = true;
  for (std::thread& thread : threads) thread.join();
}

TEST_F(Threads, ThreadAfterThreadUsesNoMoreMemory) {
  auto run = [](int count) {
    for (int i = 0; i < count; i++) std::thread([] { Free(Malloc(100)); }).join();
    return MetadataBytes();
  };
  size_t after_few = run(20);
  EXPECT_EQ(run(300), after_few);
}

// Destructors of thread-specific data run before and after the heap of a thread has gone.
TEST_F(Threads, DestructorsMayAllocateTillTheEnd) {
  if (kThreadSanitizer) {
    GTEST_SKIP() << "ThreadSanitizer's own state of a thread goes before the last destructors run";
  }
  static pthread_key_t key;
  static std::atomic<int> calls = 0;
  ASSERT_EQ(pthread_key_create(&key,
                               [](void* value) {
                                 calls++;
                                 Free(value);
                                 AllocateOfEverySize();
                                 // glibc calls again while a value is set, a few times.
                                 if (calls % 4 != 0) pthread_setspecific(key, Malloc(200));
                               }),
            0);
  for (int i = 0; i < 5; i++) {
    std::thread([] { pthread_setspecific(key, Malloc(100)); }).join();
  }
  EXPECT_EQ(calls, 5 * PTHREAD_DESTRUCTOR_ITERATIONS);
  pthread_key_delete(key);
}

TEST_F(Threads, EveryThreadDrawsItsOwnOrder) {
  std::vector<uintptr_t> offsets[2];
  for (auto& mine : offsets) {
    std::thread([&] {
      std::vector<void*> objects;
      for (int i = 0; i < 200; i++) objects.push_back(Malloc(16));
      for (void* object : objects) mine.push_back(reinterpret_cast<uintptr_t>(object) % 4096);
      for (void* object : objects) Free(object);
    }).join();
  }
  EXPECT_NE(offsets[0], offsets[1]);
}

}  // namespace
}  // namespace mesh
