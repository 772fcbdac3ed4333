// Tests of waits that are cut in pieces, because the thread works before it sleeps: what the
// program gets is what one call would have given.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/select.h>
#include <sys/time.h>
#include <threads.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <functional>

#include "src/os/process.h"
#include "test/libmesh/fake_hooks.h"

extern "C" int __poll_chk(struct pollfd* fds, nfds_t count, int timeout_ms, size_t fds_size);
extern "C" int __ppoll_chk(struct pollfd* fds, nfds_t count, const struct timespec* timeout,
                           const sigset_t* mask, size_t fds_size);

namespace mesh {
namespace {

constexpr uint64_t kMs = 1'000'000;
constexpr timespec kFiveMs = {0, 5 * kMs};

class WaitsTest : public testing::Test {
 protected:
  WaitsTest() : event_(eventfd(0, 0)), epoll_(epoll_create1(0)) {
    epoll_event wanted = {.events = EPOLLIN, .data = {.u64 = 77}};
    epoll_ctl(epoll_, EPOLL_CTL_ADD, event_, &wanted);
    FD_ZERO(&set_);
    FD_SET(event_, &set_);
    ClearHooks();
  }
  ~WaitsTest() override {
    close(epoll_);
    close(event_);
    idle_slices = 0;
  }

  void MakeReady() {
    uint64_t one = 1;
    ASSERT_EQ(write(event_, &one, sizeof(one)), ssize_t{sizeof(one)});
  }

  // Calls for a wait of 5 ms, and what each returns when the event has come.
  struct Way {
    const char* name;
    std::function<int()> call;
  };
  std::vector<Way> Ways() {
    return {
        {"epoll_wait", [this] { return epoll_wait(epoll_, &got_, 1, 5); }},
        {"epoll_pwait", [this] { return epoll_pwait(epoll_, &got_, 1, 5, nullptr); }},
        {"epoll_pwait2", [this] { return epoll_pwait2(epoll_, &got_, 1, &kFiveMs, nullptr); }},
        {"poll", [this] { return poll(&file_, 1, 5); }},
        {"__poll_chk", [this] { return __poll_chk(&file_, 1, 5, sizeof(file_)); }},
        {"ppoll", [this] { return ppoll(&file_, 1, &kFiveMs, nullptr); }},
        {"__ppoll_chk",
         [this] { return __ppoll_chk(&file_, 1, &kFiveMs, nullptr, sizeof(file_)); }},
        {"select",
         [this] {
           timeval time = {0, 5000};
           return select(event_ + 1, &set_, nullptr, nullptr, &time);
         }},
        {"pselect",
         [this] { return pselect(event_ + 1, &set_, nullptr, nullptr, &kFiveMs, nullptr); }},
    };
  }

  int event_;
  int epoll_;
  epoll_event got_ = {};
  pollfd file_ = {event_, POLLIN, 0};
  fd_set set_;
};

TEST_F(WaitsTest, TheTimeIsWaitedForAllTheSame) {
  for (const Way& way : Ways()) {
    FD_SET(event_, &set_);
    idle_slices = 4;
    uint64_t began = os::MonotonicNs();
    EXPECT_EQ(way.call(), 0) << way.name;
    EXPECT_GE(os::MonotonicNs() - began, 5 * kMs) << way.name;
    EXPECT_EQ(idle_slices, 0) << way.name;
    EXPECT_FALSE(FD_ISSET(event_, &set_) && way.name[0] == 's') << "a set is cleared";
  }
}

TEST_F(WaitsTest, WhatHasComeIsSeenAtOnce) {
  MakeReady();
  for (const Way& way : Ways()) {
    FD_SET(event_, &set_);
    got_ = {};
    file_.revents = 0;
    idle_slices = 100;
    EXPECT_EQ(way.call(), 1) << way.name;
    EXPECT_GE(idle_slices, 99) << way.name;
    bool is_told = got_.data.u64 == 77 || file_.revents == POLLIN || FD_ISSET(event_, &set_);
    EXPECT_TRUE(is_told) << way.name;
  }
}

// Handed out once: a second look would not see it any more.
TEST_F(WaitsTest, AnEdgeIsNotLost) {
  epoll_event wanted = {.events = EPOLLIN | EPOLLET, .data = {.u64 = 78}};
  epoll_ctl(epoll_, EPOLL_CTL_MOD, event_, &wanted);
  MakeReady();
  idle_slices = 100;
  EXPECT_EQ(epoll_wait(epoll_, &got_, 1, -1), 1);
  EXPECT_EQ(got_.data.u64, 78u);
  EXPECT_EQ(epoll_wait(epoll_, &got_, 1, 0), 0);
}

TEST_F(WaitsTest, SelectSaysWhatIsLeft) {
  MakeReady();
  idle_slices = 3;
  timeval time = {1000, 0};
  EXPECT_EQ(select(event_ + 1, &set_, nullptr, nullptr, &time), 1);
  EXPECT_LE(time.tv_sec, 1000);
  EXPECT_GE(time.tv_sec, 900);
}

TEST_F(WaitsTest, BadArgumentsFailAsEver) {
  for (int slices : {0, 5}) {
    idle_slices = slices;
    EXPECT_EQ(epoll_wait(-1, &got_, 1, 5), -1);
    EXPECT_EQ(errno, EBADF);
    idle_slices = slices;
    const timespec bad = {0, 2'000'000'000};
    EXPECT_EQ(nanosleep(&bad, nullptr), -1);
    EXPECT_EQ(errno, EINVAL);
    EXPECT_EQ(ppoll(&file_, 1, &bad, nullptr), -1);
    EXPECT_EQ(errno, EINVAL);
    timeval late = {-1, 0};
    EXPECT_EQ(select(1, nullptr, nullptr, nullptr, &late), -1);
    EXPECT_EQ(errno, EINVAL);
    auto* nowhere = reinterpret_cast<fd_set*>(8);
    EXPECT_EQ(select(64, nowhere, nullptr, nullptr, nullptr), -1);
    EXPECT_EQ(errno, EFAULT);
    EXPECT_EQ(clock_nanosleep(CLOCK_MONOTONIC, 0, &bad, nullptr), EINVAL);
    EXPECT_EQ(clock_nanosleep(CLOCK_THREAD_CPUTIME_ID, 0, &kFiveMs, nullptr), EINVAL);
  }
}

TEST_F(WaitsTest, SleepsLastAsLong) {
  timespec until;
  clock_gettime(CLOCK_MONOTONIC, &until);
  until.tv_sec++;
  const std::function<int()> sleeps[] = {
      [] { return nanosleep(&kFiveMs, nullptr); },
      [] { return clock_nanosleep(CLOCK_MONOTONIC, 0, &kFiveMs, nullptr); },
      [&] { return clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, nullptr); },
      [] { return usleep(5000); },
      [] { return static_cast<int>(sleep(1)); },
  };
  for (const std::function<int()>& sleep_for : sleeps) {
    idle_slices = 4;
    uint64_t began = os::MonotonicNs();
    EXPECT_EQ(sleep_for(), 0);
    EXPECT_GE(os::MonotonicNs() - began, 4 * kMs);
    EXPECT_EQ(idle_slices, 0);
  }
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  EXPECT_GE(now.tv_sec, until.tv_sec);
}

// The signal comes in the last piece, or in the one before.
TEST_F(WaitsTest, AnInterruptedSleepSaysWhatIsLeft) {
  struct sigaction action = {};
  action.sa_handler = [](int) {};
  sigaction(SIGALRM, &action, nullptr);
  for (int slices : {0, 4}) {
    itimerval often = {{0, 20'000}, {0, 20'000}};
    setitimer(ITIMER_REAL, &often, nullptr);
    idle_slices = slices;
    timespec rest = {};
    const timespec long_time = {1000, 0};
    EXPECT_EQ(nanosleep(&long_time, &rest), -1);
    EXPECT_EQ(errno, EINTR);
    EXPECT_GE(rest.tv_sec, 900);
    EXPECT_LE(rest.tv_sec, 1000);
    idle_slices = slices;
    rest = {};
    EXPECT_EQ(clock_nanosleep(CLOCK_REALTIME, 0, &long_time, &rest), EINTR);
    EXPECT_GE(rest.tv_sec, 900);
    idle_slices = slices;
    EXPECT_GE(sleep(1000), 900u);
    idle_slices = slices;
    EXPECT_EQ(poll(&file_, 1, -1), -1);
    EXPECT_EQ(errno, EINTR);
    itimerval never = {};
    setitimer(ITIMER_REAL, &never, nullptr);
  }
}

TEST_F(WaitsTest, ThreadsComeByOurs) {
  pthread_t thread;
  int object = 0;
  ASSERT_EQ(pthread_create(
                &thread, nullptr, [](void* value) { return value; }, &object),
            0);
  void* result = nullptr;
  EXPECT_EQ(pthread_join(thread, &result), 0);
  EXPECT_EQ(result, &object);
  thrd_t other;
  ASSERT_EQ(thrd_create(
                &other, [](void*) { return 3; }, nullptr),
            thrd_success);
  int code = 0;
  EXPECT_EQ(thrd_join(other, &code), thrd_success);
  EXPECT_EQ(code, 3);
  EXPECT_EQ(hook_calls, "thread rest awake thrd rest awake");
}

TEST_F(WaitsTest, CallsForOneThreadAreAnnounced) {
  EXPECT_EQ(unshare(0), 0);
  EXPECT_EQ(setns(-1, 0), -1);
  EXPECT_EQ(errno, EBADF);
  EXPECT_EQ(hook_calls, "sole sole");
}

}  // namespace
}  // namespace mesh
