// Tests of the interposed functions in a program that is linked with them: each passes its call on
// with libc's result, and tells runtime what it has to know before.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/futex.h>
#include <linux/sched.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/select.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <climits>
#include <csignal>
#include <cstdint>
#include <cstring>
#include <functional>
#include <string>
#include <thread>

#include "src/libmesh/real.h"
#include "src/os/raw_syscall.h"
#include "test/libmesh/fake_hooks.h"

extern "C" int __poll_chk(struct pollfd* fds, nfds_t count, int timeout_ms, size_t fds_size);

namespace mesh {
namespace {

class InterposeTest : public testing::Test {
 protected:
  InterposeTest() { ClearHooks(); }
  ~InterposeTest() override {
    SetArena(nullptr, nullptr);
    is_publishing = false;
    is_fork_refused = false;
  }

  // What the hooks saw since the last question.
  static std::string Seen() {
    std::string seen = hook_calls;
    ClearHooks();
    return seen;
  }
};

constexpr timespec kMoment = {0, 1000};
constexpr timespec kZero = {0, 0};

TEST_F(InterposeTest, LibcsOwnFunctionsAreFound) {
  for (size_t i = 0; i < static_cast<size_t>(RealId::kCount); i++) {
    EXPECT_NE(FindReal(static_cast<RealId>(i)), nullptr) << i;
  }
  EXPECT_NE(FindReal(RealId::dup2), reinterpret_cast<void*>(&dup2)) << "ours is in front";
}

TEST_F(InterposeTest, WaitingCallsAreAnnounced) {
  int epoll = epoll_create1(0);
  epoll_event event;
  EXPECT_EQ(epoll_wait(epoll, &event, 1, 1), 0);
  EXPECT_EQ(Seen(), "block");
  EXPECT_EQ(epoll_pwait(epoll, &event, 1, 1, nullptr), 0);
  EXPECT_EQ(Seen(), "block");
  EXPECT_EQ(epoll_pwait2(epoll, &event, 1, &kMoment, nullptr), 0);
  EXPECT_EQ(Seen(), "block");
  EXPECT_EQ(poll(nullptr, 0, 1), 0);
  EXPECT_EQ(Seen(), "block");
  pollfd fds = {};
  fds.fd = -1;
  EXPECT_EQ(__poll_chk(&fds, 1, 1, sizeof(fds)), 0);
  EXPECT_EQ(Seen(), "block");
  EXPECT_EQ(ppoll(nullptr, 0, &kMoment, nullptr), 0);
  EXPECT_EQ(Seen(), "block");
  timeval moment = {0, 1};
  EXPECT_EQ(select(0, nullptr, nullptr, nullptr, &moment), 0);
  EXPECT_EQ(Seen(), "block");
  EXPECT_EQ(pselect(0, nullptr, nullptr, nullptr, &kMoment, nullptr), 0);
  EXPECT_EQ(Seen(), "block");
  EXPECT_EQ(nanosleep(&kMoment, nullptr), 0);
  EXPECT_EQ(Seen(), "block");
  EXPECT_EQ(clock_nanosleep(CLOCK_MONOTONIC, 0, &kMoment, nullptr), 0);
  EXPECT_EQ(Seen(), "block");
  EXPECT_EQ(usleep(1), 0);
  EXPECT_EQ(Seen(), "block");
  close(epoll);
}

TEST_F(InterposeTest, CallsThatCannotWaitAreNot) {
  int epoll = epoll_create1(0);
  epoll_event event;
  EXPECT_EQ(epoll_wait(epoll, &event, 1, 0), 0);
  EXPECT_EQ(epoll_pwait2(epoll, &event, 1, &kZero, nullptr), 0);
  EXPECT_EQ(poll(nullptr, 0, 0), 0);
  EXPECT_EQ(ppoll(nullptr, 0, &kZero, nullptr), 0);
  timeval zero = {0, 0};
  EXPECT_EQ(select(0, nullptr, nullptr, nullptr, &zero), 0);
  EXPECT_EQ(pselect(0, nullptr, nullptr, nullptr, &kZero, nullptr), 0);
  EXPECT_EQ(usleep(0), 0);
  EXPECT_EQ(sleep(0), 0u);
  EXPECT_EQ(Seen(), "");
  close(epoll);
}

TEST_F(InterposeTest, ErrorsAreLibcs) {
  epoll_event event;
  EXPECT_EQ(epoll_wait(-1, &event, 1, 0), -1);
  EXPECT_EQ(errno, EBADF);
  EXPECT_EQ(clock_nanosleep(CLOCK_MONOTONIC, 0, nullptr, nullptr), EFAULT) << "no errno, no -1";
  EXPECT_EQ(close(-1), -1);
  EXPECT_EQ(errno, EBADF);
}

TEST_F(InterposeTest, BlockedCallCanBeCancelled) {
  pthread_t thread;
  ASSERT_EQ(pthread_create(
                &thread, nullptr,
                [](void*) -> void* {
                  poll(nullptr, 0, -1);
                  return nullptr;
                },
                nullptr),
            0);
  EXPECT_EQ(pthread_cancel(thread), 0);
  void* result = nullptr;
  EXPECT_EQ(pthread_join(thread, &result), 0);
  EXPECT_EQ(result, PTHREAD_CANCELED);
}

TEST_F(InterposeTest, ClosingIsAnnounced) {
  int a = open("/dev/null", O_RDONLY);
  int b = open("/dev/null", O_RDONLY);
  std::string a_text = std::to_string(a);
  std::string b_text = std::to_string(b);
  EXPECT_EQ(dup2(a, b), b);
  EXPECT_EQ(Seen(), "close:" + b_text + "-" + b_text + " closed");
  EXPECT_EQ(dup2(a, a), a);
  EXPECT_EQ(Seen(), "") << "nothing is closed";
  EXPECT_EQ(dup3(a, b, O_CLOEXEC), b);
  EXPECT_EQ(Seen(), "close:" + b_text + "-" + b_text + " closed");
  EXPECT_EQ(close(a), 0);
  EXPECT_EQ(Seen(), "close:" + a_text + "-" + a_text + " closed");
  EXPECT_EQ(close_range(b, b, 0), 0);
  EXPECT_EQ(Seen(), "close:" + b_text + "-" + b_text + " closed");
  EXPECT_EQ(close_range(5000, 6000, 1 << 2), 0);
  EXPECT_EQ(Seen(), "") << "close_range that only marks for exec";
  EXPECT_EQ(fcntl(b, F_GETFD), -1);
  closefrom(5000);
  EXPECT_EQ(Seen(), "close:5000-" + std::to_string(UINT_MAX) + " closed");
}

TEST_F(InterposeTest, ClosingBySyscallIsAnnounced) {
  int a = open("/dev/null", O_RDONLY);
  std::string text = std::to_string(a);
  EXPECT_EQ(syscall(SYS_dup3, 0, a, 0), a);
  EXPECT_EQ(Seen(), "close:" + text + "-" + text + " closed");
  EXPECT_EQ(syscall(SYS_close, a), 0);
  EXPECT_EQ(Seen(), "close:" + text + "-" + text + " closed");
  EXPECT_EQ(syscall(SYS_close, a), -1);
  EXPECT_EQ(errno, EBADF);
  ClearHooks();
  EXPECT_EQ(syscall(SYS_close_range, 5000, 6000, 0), 0);
  EXPECT_EQ(Seen(), "close:5000-6000 closed");
}

// Ends a child so that its exit status says what its hooks saw.
[[noreturn]] void ExitWith(bool is_good) { _exit(is_good ? 42 : 1); }

void ExpectGoodChild(pid_t child) {
  ASSERT_GT(child, 0);
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 42);
}

TEST_F(InterposeTest, RawForksRunTheHooks) {
  pid_t child = _Fork();
  if (child == 0) ExitWith(Seen() == "fork child");
  EXPECT_EQ(Seen(), "fork parent");
  ExpectGoodChild(child);

  child = static_cast<pid_t>(syscall(SYS_fork));
  if (child == 0) ExitWith(Seen() == "fork child");
  EXPECT_EQ(Seen(), "fork parent");
  ExpectGoodChild(child);

  child = static_cast<pid_t>(syscall(SYS_clone, SIGCHLD, nullptr, nullptr, nullptr, 0));
  if (child == 0) ExitWith(Seen() == "fork child");
  EXPECT_EQ(Seen(), "fork parent");
  ExpectGoodChild(child);

  clone_args arguments = {};
  arguments.exit_signal = SIGCHLD;
  child = static_cast<pid_t>(syscall(SYS_clone3, &arguments, sizeof(arguments)));
  if (child == 0) ExitWith(Seen() == "fork child");
  EXPECT_EQ(Seen(), "fork parent");
  ExpectGoodChild(child);
}

TEST_F(InterposeTest, FailedRawForkReleasesTheParent) {
  EXPECT_EQ(syscall(SYS_clone, CLONE_SIGHAND, nullptr, nullptr, nullptr, 0), -1);
  EXPECT_EQ(errno, EINVAL);
  EXPECT_EQ(Seen(), "fork parent");
}

TEST_F(InterposeTest, LibcsForkHoldsPassesUpUntilItIsOver) {
  pid_t child = fork();
  if (child == 0) ExitWith(Seen() == "permit");
  EXPECT_EQ(Seen(), "permit resume");
  ExpectGoodChild(child);
}

// The kernel would not separate the child's memory: no way to fork makes a child then.
TEST_F(InterposeTest, RefusedForksFail) {
  is_fork_refused = true;
  clone_args arguments = {};
  arguments.exit_signal = SIGCHLD;
  const std::function<long()> kForks[] = {
      [] { return long{fork()}; },
      [] { return long{_Fork()}; },
      [] { return syscall(SYS_fork); },
      [] { return syscall(SYS_clone, SIGCHLD, nullptr, nullptr, nullptr, 0); },
      [&] { return syscall(SYS_clone3, &arguments, sizeof(arguments)); },
  };
  for (const auto& make_child : kForks) {
    errno = 0;
    long child = make_child();
    if (child == 0) _exit(1);
    EXPECT_EQ(child, -1);
    EXPECT_EQ(errno, ENOMEM);
    const std::string seen = Seen();
    EXPECT_TRUE(seen == "permit" || seen == "fork") << seen;
  }
}

class CloneTest : public InterposeTest {
 protected:
  static constexpr size_t kStackSize = 1 << 16;

  CloneTest() {
    stack_ = static_cast<char*>(mmap(nullptr, kStackSize, PROT_READ | PROT_WRITE,
                                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0));
  }
  ~CloneTest() override { munmap(stack_, kStackSize); }

  char* stack_top() const { return stack_ + kStackSize; }

 private:
  char* stack_;
};

TEST_F(CloneTest, CopyOfMemoryIsAFork) {
  int argument = 7;
  auto run = [](void* given) -> int {
    ExitWith(Seen() == "fork child" && *static_cast<int*>(given) == 7);
  };
  pid_t child = clone(run, stack_top(), SIGCHLD, &argument);
  EXPECT_EQ(Seen(), "fork parent");
  ExpectGoodChild(child);
}

TEST_F(CloneTest, ResultOfTheFunctionIsTheStatus) {
  pid_t child = clone([](void*) { return 42; }, stack_top(), SIGCHLD, nullptr);
  ExpectGoodChild(child);
}

TEST_F(CloneTest, ThreadIdIsStoredWhereAsked) {
  pid_t stored = 0;
  pid_t child =
      clone([](void*) { return 42; }, stack_top(), CLONE_PARENT_SETTID | SIGCHLD, nullptr, &stored);
  EXPECT_EQ(stored, child);
  ExpectGoodChild(child);
}

TEST_F(CloneTest, SharedMemoryIsAnnounced) {
  pid_t child = clone([](void*) { return 42; }, stack_top(), CLONE_VM | SIGCHLD, nullptr);
  ExpectGoodChild(child);
  EXPECT_EQ(Seen(), "shared");
  child = clone([](void*) { return 42; }, stack_top(), CLONE_VM | CLONE_VFORK | SIGCHLD, nullptr);
  ExpectGoodChild(child);
  EXPECT_EQ(Seen(), "") << "as vfork";
}

TEST_F(CloneTest, NullFunctionIsRefusedAsByLibc) {
  EXPECT_EQ(clone(nullptr, stack_top(), SIGCHLD, nullptr), -1);
  EXPECT_EQ(errno, EINVAL);
  EXPECT_EQ(Seen(), "");
}

[[noreturn]] void StartOnOwnStack() { _exit(42); }

// The child returns from the system call on its own stack: no frame of the interposition may be in
// between.
TEST_F(CloneTest, SyscallCloneReturnsOnTheNewStack) {
#if defined(__x86_64__)
  auto** top = reinterpret_cast<void**>(stack_top()) - 2;
  top[0] = reinterpret_cast<void*>(&StartOnOwnStack);
  for (long flags : {long{SIGCHLD}, long{CLONE_VM | SIGCHLD}}) {
    pid_t child = static_cast<pid_t>(syscall(SYS_clone, flags, top, nullptr, nullptr, 0));
    ExpectGoodChild(child);
  }
  EXPECT_EQ(Seen(), "shared");
#else
  GTEST_SKIP() << "the return address is not on the stack here";
#endif
}

TEST_F(InterposeTest, ThreadsShareNothingNew) {
  std::thread([] {}).join();
  EXPECT_EQ(Seen(), "thread rest awake");
}

TEST_F(InterposeTest, OtherSyscallsPassWithAllSixArguments) {
  EXPECT_EQ(syscall(SYS_getpid), getpid());
  EXPECT_EQ(syscall(SYS_read, -1, nullptr, 0), -1);
  EXPECT_EQ(errno, EBADF);
  char path[] = "/proc/self/exe";
  int file = open(path, O_RDONLY);
  long mapped = syscall(SYS_mmap, nullptr, 4096, PROT_READ, MAP_PRIVATE, file, long{4096});
  ASSERT_NE(mapped, -1);
  char expected[16];
  EXPECT_EQ(pread(file, expected, sizeof(expected), 4096), static_cast<ssize_t>(sizeof(expected)));
  EXPECT_EQ(memcmp(reinterpret_cast<void*>(mapped), expected, sizeof(expected)), 0)
      << "the sixth argument is the offset";
  munmap(reinterpret_cast<void*>(mapped), 4096);
  close(file);
}

// Shared memory, so that a shared and a private key differ for certain. The questions go past the
// interposition, by the instruction itself.
TEST_F(InterposeTest, FutexInTheArenaBecomesPrivate) {
  auto* word = static_cast<std::atomic<uint32_t>*>(
      mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
  SetArena(word, word + 1);
  std::thread waiter([word] {
    while (word->load() == 0) syscall(SYS_futex, word, FUTEX_WAIT, 0, nullptr, nullptr, 0);
  });
  auto wake = [word](int operation) {
    return os::RawSyscall(SYS_futex, reinterpret_cast<long>(word), operation, 1);
  };
  while (wake(FUTEX_WAKE_PRIVATE) == 0) {
    EXPECT_EQ(wake(FUTEX_WAKE), 0) << "nobody sleeps under the shared key";
    std::this_thread::yield();
  }
  word->store(1);
  syscall(SYS_futex, word, FUTEX_WAKE, 1, nullptr, nullptr, 0);
  waiter.join();
  munmap(word, 4096);
}

TEST_F(InterposeTest, SharedSemaphoreInTheArenaBecomesPrivate) {
  auto* semaphore = static_cast<sem_t*>(
      mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
  SetArena(semaphore, semaphore + 1);
  ASSERT_EQ(sem_init(semaphore, 1, 0), 0);
  std::thread waiter([semaphore] { EXPECT_EQ(sem_wait(semaphore), 0); });
  auto wake = [semaphore](int operation) {
    return os::RawSyscall(SYS_futex, reinterpret_cast<long>(semaphore), operation, 1);
  };
  while (wake(FUTEX_WAKE_PRIVATE) == 0) {
    EXPECT_EQ(wake(FUTEX_WAKE), 0) << "nobody sleeps under the shared key";
    std::this_thread::yield();
  }
  EXPECT_EQ(sem_post(semaphore), 0);
  waiter.join();
  munmap(semaphore, 4096);
}

}  // namespace
}  // namespace mesh
