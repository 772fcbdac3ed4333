// Tests of waits for other threads: each is a rest, and gives the program what libc's gives.
#include <gtest/gtest.h>
#include <pthread.h>
#include <semaphore.h>
#include <threads.h>
#include <time.h>

#include <cerrno>
#include <functional>

#include "test/libmesh/fake_hooks.h"

namespace mesh {
namespace {

class RestsTest : public testing::Test {
 protected:
  RestsTest() {
    sem_init(&semaphore_, 0, 0);
    pthread_barrier_init(&barrier_, nullptr, 1);
    pthread_mutex_lock(&mutex_);
    mtx_init(&c11_mutex_, mtx_plain);
    mtx_lock(&c11_mutex_);
    cnd_init(&c11_condition_);
    ClearHooks();
  }
  ~RestsTest() override {
    pthread_mutex_unlock(&mutex_);
    mtx_unlock(&c11_mutex_);
    cnd_destroy(&c11_condition_);
    mtx_destroy(&c11_mutex_);
    sem_destroy(&semaphore_);
    pthread_barrier_destroy(&barrier_);
  }

  // A thread that has returned 7, or is about to.
  static pthread_t Thread() {
    pthread_t thread;
    EXPECT_EQ(pthread_create(
                  &thread, nullptr, [](void*) { return reinterpret_cast<void*>(7); }, nullptr),
              0);
    ClearHooks();
    return thread;
  }
  static timespec Long() {
    timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    time.tv_sec += 1000;
    return time;
  }

  static constexpr timespec kPast = {1, 0};
  pthread_mutex_t mutex_ = PTHREAD_MUTEX_INITIALIZER;
  pthread_cond_t condition_ = PTHREAD_COND_INITIALIZER;
  mtx_t c11_mutex_;
  cnd_t c11_condition_;
  sem_t semaphore_;
  pthread_barrier_t barrier_;
};

TEST_F(RestsTest, WhoseTimeIsOver) {
  const struct {
    const char* name;
    std::function<int()> call;
    int result;
    int error;
  } calls[] = {
      {"pthread_cond_timedwait",
       [&] { return pthread_cond_timedwait(&condition_, &mutex_, &kPast); }, ETIMEDOUT, 0},
      {"pthread_cond_clockwait",
       [&] { return pthread_cond_clockwait(&condition_, &mutex_, CLOCK_MONOTONIC, &kPast); },
       ETIMEDOUT, 0},
      {"sem_timedwait", [&] { return sem_timedwait(&semaphore_, &kPast); }, -1, ETIMEDOUT},
      {"sem_clockwait", [&] { return sem_clockwait(&semaphore_, CLOCK_MONOTONIC, &kPast); }, -1,
       ETIMEDOUT},
      {"cnd_timedwait", [&] { return cnd_timedwait(&c11_condition_, &c11_mutex_, &kPast); },
       thrd_timedout, 0},
  };
  for (const auto& [name, call, result, error] : calls) {
    ClearHooks();
    errno = 0;
    EXPECT_EQ(call(), result) << name;
    EXPECT_EQ(errno, error) << name;
    EXPECT_EQ(hook_calls, "rest awake") << name;
  }
}

TEST_F(RestsTest, ThatNeedNotWait) {
  sem_post(&semaphore_);
  EXPECT_EQ(sem_wait(&semaphore_), 0);
  EXPECT_EQ(hook_calls, "rest awake");
  ClearHooks();
  EXPECT_EQ(pthread_barrier_wait(&barrier_), PTHREAD_BARRIER_SERIAL_THREAD);
  EXPECT_EQ(hook_calls, "rest awake");
}

TEST_F(RestsTest, JoinsHandOverTheResult) {
  const timespec until = Long();
  const std::function<int(pthread_t, void**)> joins[] = {
      [](pthread_t thread, void** result) { return pthread_join(thread, result); },
      [&](pthread_t thread, void** result) {
        return pthread_clockjoin_np(thread, result, CLOCK_MONOTONIC, &until);
      },
      [](pthread_t thread, void** result) {
        timespec wall;
        clock_gettime(CLOCK_REALTIME, &wall);
        wall.tv_sec += 1000;
        return pthread_timedjoin_np(thread, result, &wall);
      },
  };
  for (const auto& join : joins) {
    void* result = nullptr;
    EXPECT_EQ(join(Thread(), &result), 0);
    EXPECT_EQ(result, reinterpret_cast<void*>(7));
    EXPECT_EQ(hook_calls, "rest awake");
  }
  thrd_t thread;
  ASSERT_EQ(thrd_create(
                &thread, [](void*) { return 8; }, nullptr),
            thrd_success);
  ClearHooks();
  int result = 0;
  EXPECT_EQ(thrd_join(thread, &result), thrd_success);
  EXPECT_EQ(result, 8);
  EXPECT_EQ(hook_calls, "rest awake");
}

// A wait that another thread ends, which takes the mutex for it.
struct Waited {
  std::function<void()> lock_and_signal;
};

TEST_F(RestsTest, ConditionsAreSignalled) {
  Waited wakes{[&] {
    pthread_mutex_lock(&mutex_);
    pthread_cond_signal(&condition_);
    pthread_mutex_unlock(&mutex_);
  }};
  Waited wakes_c11{[&] {
    mtx_lock(&c11_mutex_);
    cnd_signal(&c11_condition_);
    mtx_unlock(&c11_mutex_);
  }};
  auto run = [](void* waited) -> void* {
    static_cast<Waited*>(waited)->lock_and_signal();
    return nullptr;
  };
  pthread_t thread;
  ASSERT_EQ(pthread_create(&thread, nullptr, run, &wakes), 0);
  ClearHooks();
  EXPECT_EQ(pthread_cond_wait(&condition_, &mutex_), 0);
  EXPECT_EQ(hook_calls, "rest awake");
  pthread_join(thread, nullptr);

  ASSERT_EQ(pthread_create(&thread, nullptr, run, &wakes_c11), 0);
  ClearHooks();
  EXPECT_EQ(cnd_wait(&c11_condition_, &c11_mutex_), thrd_success);
  EXPECT_EQ(hook_calls, "rest awake");
  pthread_join(thread, nullptr);
}

}  // namespace
}  // namespace mesh
