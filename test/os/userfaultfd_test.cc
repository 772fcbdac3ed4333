// Tests of userfaultfd.h and probe.h: waiting writers, refusals, other processes, seccomp filters.
#include "src/os/userfaultfd.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstring>
#include <functional>
#include <string>

#include "src/base/units.h"
#include "src/os/file.h"
#include "src/os/memory.h"
#include "src/os/probe.h"
#include "src/os/process.h"
#include "src/os/raw_syscall.h"
#include "test/os/fault_injector.h"

namespace mesh::os {
namespace {

// Exit status of a forked child that ran `body`, or -signal.
int InChild(const std::function<int()>& body) {
  const pid_t child = fork();
  if (child == 0) _exit(body());
  int status = 0;
  EXPECT_EQ(waitpid(child, &status, 0), child);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

// A thread that stores `value` to `target` and tells when it is done.
struct Writer {
  explicit Writer(volatile char* to) : target(to) {
    EXPECT_EQ(pthread_create(&thread, nullptr, &Run, this), 0);
  }
  ~Writer() { pthread_join(thread, nullptr); }
  static void* Run(void* self) {
    auto* writer = static_cast<Writer*>(self);
    writer->id = ThreadId();
    *writer->target = 77;
    writer->done = true;
    return nullptr;
  }
  bool DoneWithin(int milliseconds) {
    for (int i = 0; i < milliseconds && !done; i++) usleep(1000);
    return done;
  }

  // Until the thread sleeps in its store, however late it was started.
  bool Waits() {
    for (int i = 0; i < 5000 && !done; i++, usleep(1000)) {
      std::string path = "/proc/self/task/" + std::to_string(id) + "/stat";
      char text[1024] = {};
      if (id == 0 || !ReadSmallFile(path.c_str(), text).ok()) continue;
      const char* name_end = strrchr(text, ')');
      if (name_end != nullptr && (name_end[2] == 'S' || name_end[2] == 'D')) return true;
    }
    return false;
  }

  volatile char* target;
  std::atomic<int> id{0};
  std::atomic<bool> done{false};
  pthread_t thread;
};

class UserfaultfdTest : public testing::TestWithParam<UserfaultMode> {
 protected:
  void SetUp() override {
    Status opened = uffd_.Open(GetParam());
    if (!opened.ok()) GTEST_SKIP() << "errno " << opened.error;
    page_ = MapAnonymous(kPageSize).value;
    ASSERT_NE(page_, 0u);
  }
  void TearDown() override {
    uffd_.Close();
    if (page_ != 0) {
      EXPECT_TRUE(Unmap(page_, kPageSize).ok());
    }
  }
  volatile char* bytes() { return reinterpret_cast<volatile char*>(page_); }

  Userfaultfd uffd_;
  uintptr_t page_ = 0;
};

TEST_P(UserfaultfdTest, WritersWaitForUnprotect) {
  ASSERT_TRUE(uffd_.Register(page_, kPageSize).ok());
  EXPECT_TRUE(uffd_.Register(page_, kPageSize).ok());  // again is harmless
  for (bool present : {false, true}) {
    if (present) *bytes() = 1;
    ASSERT_TRUE(uffd_.WriteProtect(page_, kPageSize).ok());
    Writer writer(bytes());
    EXPECT_FALSE(writer.DoneWithin(30));
    EXPECT_EQ(*bytes(), present ? 1 : 0);
    ASSERT_TRUE(uffd_.Unprotect(page_, kPageSize).ok());
    EXPECT_TRUE(writer.DoneWithin(5000));
    EXPECT_EQ(*bytes(), 77);
    ASSERT_TRUE(ReleasePages(page_, kPageSize).ok());
  }
}

TEST_P(UserfaultfdTest, ReplacedPageNeedsAWake) {
  Result<uintptr_t> window = MapSharedAnonymous(kPageSize);
  ASSERT_TRUE(window.ok());
  ASSERT_TRUE(uffd_.Register(page_, kPageSize).ok());
  ASSERT_TRUE(uffd_.WriteProtect(page_, kPageSize).ok());
  Writer writer(bytes());
  EXPECT_TRUE(writer.Waits());
  ASSERT_TRUE(Alias(window.value, kPageSize, page_).ok());
  EXPECT_FALSE(writer.DoneWithin(20));
  ASSERT_TRUE(uffd_.Wake(page_, kPageSize).ok());
  EXPECT_TRUE(writer.DoneWithin(5000));
  EXPECT_EQ(*reinterpret_cast<char*>(window.value), 77);
  EXPECT_EQ(uffd_.WriteProtect(page_, kPageSize).error, ENOENT);
  EXPECT_TRUE(Unmap(window.value, kPageSize).ok());
}

TEST_P(UserfaultfdTest, UnregisterAndCloseSetWritersFree) {
  ASSERT_TRUE(uffd_.Register(page_, kPageSize).ok());
  ASSERT_TRUE(uffd_.WriteProtect(page_, kPageSize).ok());
  {
    Writer writer(bytes());
    EXPECT_FALSE(writer.DoneWithin(20));
    ASSERT_TRUE(uffd_.Unregister(page_, kPageSize).ok());
    EXPECT_TRUE(writer.DoneWithin(5000));
  }
  ASSERT_TRUE(uffd_.Register(page_, kPageSize).ok());
  ASSERT_TRUE(uffd_.WriteProtect(page_, kPageSize).ok());
  Writer writer(bytes());
  EXPECT_FALSE(writer.DoneWithin(20));
  uffd_.Close();
  EXPECT_TRUE(writer.DoneWithin(5000));
}

TEST_P(UserfaultfdTest, RegistrationOfOthersIsRefused) {
  Userfaultfd other;
  ASSERT_TRUE(other.Open(GetParam()).ok());
  ASSERT_TRUE(other.Register(page_, kPageSize).ok());
  EXPECT_EQ(uffd_.Register(page_, kPageSize).error, EBUSY);
  other.Close();
  EXPECT_TRUE(uffd_.Register(page_, kPageSize).ok());
}

TEST_P(UserfaultfdTest, ReservedMemoryCanBeRegisteredOnce) {
  Result<uintptr_t> place = Reserve(kMiB);
  ASSERT_TRUE(place.ok());
  ASSERT_TRUE(uffd_.Register(place.value, kMiB).ok());
  ASSERT_TRUE(Commit(place.value, kMiB / 2).ok());
  EXPECT_TRUE(uffd_.WriteProtect(place.value, kMiB / 2).ok());
  EXPECT_TRUE(uffd_.Unprotect(place.value, kMiB / 2).ok());
  EXPECT_TRUE(Unmap(place.value, kMiB).ok());
}

TEST_P(UserfaultfdTest, ForgetsADescriptorThatTheProgramTook) {
  const int number = uffd_.descriptor();
  EXPECT_GE(number, 256);
  EXPECT_TRUE(uffd_.IsOurs());
  ASSERT_EQ(dup2(0, number), number);
  EXPECT_FALSE(uffd_.IsOurs());
  uffd_.Close();
  EXPECT_FALSE(uffd_.is_open());
  EXPECT_NE(fcntl(number, F_GETFD), -1);  // the program's own file
  close(number);
}

TEST_P(UserfaultfdTest, ActsInItsOwnProcessOnly) {
  ASSERT_TRUE(uffd_.Register(page_, kPageSize).ok());
  EXPECT_EQ(InChild([&] {
              if (uffd_.IsOurs()) return 1;
              if (uffd_.WriteProtect(page_, kPageSize).error != EBADF) return 2;
              if (uffd_.Unprotect(page_, kPageSize).error != EBADF) return 3;
              if (uffd_.Wake(page_, kPageSize).error != EBADF) return 4;
              if (uffd_.Register(page_, kPageSize).error != EBADF) return 5;
              if (uffd_.Unregister(page_, kPageSize).error != EBADF) return 6;
              uffd_.Close();
              if (!uffd_.Open(GetParam()).ok()) return 7;
              return uffd_.Register(page_, kPageSize).ok() ? 0 : 8;
            }),
            0);
  EXPECT_TRUE(uffd_.WriteProtect(page_, kPageSize).ok());
  EXPECT_TRUE(uffd_.Unprotect(page_, kPageSize).ok());
}

TEST_P(UserfaultfdTest, EachCallReportsItsRefusal) {
  FaultInjector injector;
  ASSERT_TRUE(uffd_.Register(page_, kPageSize).ok());
  injector.Refuse(Call::kUserfaultfdRegister, ENOMEM);
  EXPECT_EQ(uffd_.Register(page_, kPageSize).error, ENOMEM);
  injector.Refuse(Call::kUserfaultfdWriteProtect, EAGAIN, 1, 2);
  EXPECT_EQ(uffd_.WriteProtect(page_, kPageSize).error, EAGAIN);
  EXPECT_EQ(uffd_.Unprotect(page_, kPageSize).error, EAGAIN);
  injector.Refuse(Call::kUserfaultfdWake, EINVAL);
  EXPECT_EQ(uffd_.Wake(page_, kPageSize).error, EINVAL);
  injector.Refuse(Call::kUserfaultfdUnregister, EINVAL);
  EXPECT_EQ(uffd_.Unregister(page_, kPageSize).error, EINVAL);
  *bytes() = 5;  // nothing is protected

  Userfaultfd other;
  injector.Refuse(Call::kUserfaultfdOpen, EPERM, 1, 2);
  EXPECT_EQ(other.Open(GetParam()).error, EPERM);
  injector.Reset();
  injector.Refuse(Call::kUserfaultfdHandshake, EINVAL);
  EXPECT_EQ(other.Open(GetParam()).error, EINVAL);
  EXPECT_GE(injector.count(Call::kClose), 1);
  injector.Refuse(Call::kStat, EIO);
  EXPECT_EQ(other.Open(GetParam()).error, EIO);
  EXPECT_FALSE(other.is_open());
}

INSTANTIATE_TEST_SUITE_P(Modes, UserfaultfdTest,
                         testing::Values(UserfaultMode::kFull, UserfaultMode::kUserOnly),
                         [](const auto& info) {
                           return info.param == UserfaultMode::kFull ? "Full" : "UserOnly";
                         });

TEST(UserfaultfdOpen, TheDeviceIsTheSecondWay) {
  FaultInjector injector;
  injector.Refuse(Call::kUserfaultfdOpen, EPERM);  // userfaultfd(2), not the device's ioctl
  Userfaultfd uffd;
  Status opened = uffd.Open(UserfaultMode::kFull);
  if (access("/dev/userfaultfd", R_OK | W_OK) != 0) GTEST_SKIP() << "no device";
  EXPECT_TRUE(opened.ok()) << opened.error;
  uffd.Close();
}

TEST(UserfaultfdOpen, FullStoresOfTheKernelWait) {
  Userfaultfd uffd;
  if (!uffd.Open(UserfaultMode::kFull).ok()) GTEST_SKIP() << "needs a privilege";
  uffd.Close();
  // The user-only descriptor makes the same read fail.
  ASSERT_TRUE(uffd.Open(UserfaultMode::kUserOnly).ok());
  Result<uintptr_t> page = MapAnonymous(kPageSize);
  ASSERT_TRUE(page.ok() && uffd.Register(page.value, kPageSize).ok());
  ASSERT_TRUE(uffd.WriteProtect(page.value, kPageSize).ok());
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  ASSERT_EQ(write(ends[1], "x", 1), 1);
  EXPECT_EQ(read(ends[0], reinterpret_cast<void*>(page.value), 1), -1);
  EXPECT_EQ(errno, EFAULT);
  uffd.Close();
  EXPECT_TRUE(Unmap(page.value, kPageSize).ok());
  close(ends[0]);
  close(ends[1]);
}

// Refuses userfaultfd(2) in the way that `action` says.
bool InstallFilter(uint32_t action) {
  struct sock_filter code[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_userfaultfd, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, action),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  struct sock_fprog program = {sizeof(code) / sizeof(code[0]), code};
  return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
         prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

TEST(Seccomp, AFilterThatKillsIsSurvived) {
  for (uint32_t action : {SECCOMP_RET_KILL_PROCESS, SECCOMP_RET_KILL_THREAD, SECCOMP_RET_TRAP,
                          SECCOMP_RET_ERRNO | EPERM}) {
    EXPECT_EQ(InChild([action] {
                if (!InstallFilter(action)) return 1;
                if (!UnusualCallsMayKill()) return 2;
                Userfaultfd uffd;
                Status opened = uffd.Open(UserfaultMode::kUserOnly);
                const bool killed = action != (SECCOMP_RET_ERRNO | EPERM);
                return opened.error == (killed ? ECHILD : EPERM) ? 0 : 3;
              }),
              0)
        << std::hex << action;
  }
}

TEST(Seccomp, AFilterThatAllowsIsUsed) {
  Userfaultfd direct;
  const bool possible = direct.Open(UserfaultMode::kUserOnly).ok();
  direct.Close();
  if (!possible) GTEST_SKIP();
  EXPECT_EQ(InChild([] {
              if (!InstallFilter(SECCOMP_RET_ALLOW)) return 1;
              Userfaultfd uffd;
              return uffd.Open(UserfaultMode::kUserOnly).ok() ? 0 : 2;
            }),
            0);
}

int AddOne(void* argument) { return ++*static_cast<int*>(argument); }
int KillSelf(void*) {
  RawSyscall(SYS_kill, RawSyscall(SYS_getpid), 9);
  return 0;
}

int CountDescriptors(void*) {
  int count = 0;
  for (int i = 0; i < 1024; i++) count += RawSyscall(SYS_fcntl, i, F_GETFD) >= 0;
  return count;
}

// A copy in the child would keep a pipe open that this process has closed.
TEST(Probe, ChildHasNoDescriptors) {
  ASSERT_GE(CountDescriptors(nullptr), 3);
  EXPECT_EQ(ProbeInChild(&CountDescriptors, nullptr).value, 0);
  EXPECT_GE(CountDescriptors(nullptr), 3);
}

TEST(Probe, ChildSharesMemoryAndMayDie) {
  int number = 41;
  Result<int> result = ProbeInChild(&AddOne, &number);
  EXPECT_TRUE(result.ok());
  EXPECT_EQ(result.value, 42);
  EXPECT_EQ(number, 42);
  EXPECT_EQ(ProbeInChild(&KillSelf, nullptr).error, ECHILD);
  EXPECT_EQ(waitpid(-1, nullptr, __WALL), -1);  // nothing is left to reap
  EXPECT_EQ(errno, ECHILD);
  FaultInjector injector;
  injector.Refuse(Call::kClone, EAGAIN);
  EXPECT_EQ(ProbeInChild(&AddOne, &number).error, EAGAIN);
  injector.Refuse(Call::kSignalMask, EPERM);
  EXPECT_EQ(ProbeInChild(&AddOne, &number).error, EPERM);
  injector.Refuse(Call::kUsage, ENOSYS);
  EXPECT_EQ(ProbeInChild(&AddOne, &number).error, ENOSYS);
  EXPECT_EQ(number, 42);
}

TEST(Probe, UnknownModeCountsAsFiltered) {
  FaultInjector injector;
  injector.Refuse(Call::kOpen, ENOENT);
  EXPECT_TRUE(UnusualCallsMayKill());
}

}  // namespace
}  // namespace mesh::os
