// Tests of file.h: the memory file and its descriptor under hostile programs, reading, writing.
#include "src/os/file.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>
#include <string>

#include "src/base/units.h"
#include "src/os/memory.h"
#include "test/os/fault_injector.h"

namespace mesh::os {
namespace {

TEST(MemoryFile, HasAHighNumberAndClosesOnExec) {
  MemoryFile file;
  ASSERT_TRUE(file.Create().ok());
  EXPECT_GE(file.descriptor(), 256);
  EXPECT_LT(file.descriptor(), 1024);
  EXPECT_EQ(fcntl(file.descriptor(), F_GETFD), FD_CLOEXEC);
  EXPECT_TRUE(file.IsOurs());
  const int lowest = dup(0);
  EXPECT_LT(lowest, 64);
  close(lowest);
  file.Close();
  EXPECT_FALSE(file.is_open());
  EXPECT_FALSE(file.IsOurs());
}

TEST(MemoryFile, CountsWhatItHolds) {
  MemoryFile file;
  ASSERT_TRUE(file.Create().ok());
  ASSERT_TRUE(file.Resize(kMiB).ok());
  EXPECT_EQ(file.AllocatedBytes().value, 0u);
  Result<uintptr_t> window = MapFileShared(file.descriptor(), 0, kMiB);
  ASSERT_TRUE(window.ok());
  memset(reinterpret_cast<void*>(window.value), 1, 3 * kPageSize);
  EXPECT_EQ(file.AllocatedBytes().value, 3 * kPageSize);
  ASSERT_TRUE(PunchHole(window.value, kPageSize).ok());
  EXPECT_EQ(file.AllocatedBytes().value, 2 * kPageSize);
  EXPECT_TRUE(Unmap(window.value, kMiB).ok());
  file.Close();
}

TEST(MemoryFile, NeverTouchesAStrangerUnderItsNumber) {
  MemoryFile file;
  ASSERT_TRUE(file.Create().ok());
  const int number = file.descriptor();
  char name[] = "/tmp/mesh_file_test_XXXXXX";
  const int stranger = mkstemp(name);
  ASSERT_GE(stranger, 0);
  unlink(name);
  ASSERT_EQ(write(stranger, "text", 4), 4);
  ASSERT_EQ(dup2(stranger, number), number);
  EXPECT_FALSE(file.IsOurs());
  EXPECT_EQ(file.Resize(0).error, EBADF);
  EXPECT_EQ(file.AllocatedBytes().error, EBADF);
  file.Close();
  EXPECT_NE(fcntl(number, F_GETFD), -1);  // still open
  EXPECT_EQ(lseek(number, 0, SEEK_END), 4);
  close(number);
  close(stranger);
}

TEST(MemoryFile, FileSizeLimitIsAnErrorAndNoSignal) {
  const pid_t child = fork();
  if (child == 0) {
    MemoryFile file;
    struct rlimit limit = {kMiB, kMiB};
    if (!file.Create().ok() || setrlimit(RLIMIT_FSIZE, &limit) != 0) _exit(1);
    if (!file.Resize(kMiB).ok()) _exit(2);
    _exit(file.Resize(2 * kMiB).error == EFBIG ? 0 : 3);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status)) << "signal " << WTERMSIG(status);
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

TEST(MemoryFile, RefusalsLeaveItClosed) {
  FaultInjector injector;
  MemoryFile file;
  injector.Refuse(Call::kMemoryFile, ENOSYS);
  EXPECT_EQ(file.Create().error, ENOSYS);
  injector.Refuse(Call::kStat, EIO);
  const int64_t closed = injector.count(Call::kClose);
  EXPECT_EQ(file.Create().error, EIO);
  EXPECT_EQ(injector.count(Call::kClose), closed + 3);  // of /proc, the low number and the high one
  EXPECT_FALSE(file.is_open());
  injector.Refuse(Call::kMemoryFile, EINVAL);  // a kernel that does not know MFD_NOEXEC_SEAL
  injector.Refuse(Call::kDescriptor, EMFILE);  // no room above
  ASSERT_TRUE(file.Create().ok());
  EXPECT_LT(file.descriptor(), 256);
  injector.Refuse(Call::kLimit, EPERM);
  EXPECT_EQ(file.Resize(kMiB).error, EPERM);
  injector.Refuse(Call::kSignalMask, EPERM);
  EXPECT_EQ(file.Resize(kMiB).error, EPERM);
  injector.Refuse(Call::kTruncate, EPERM);
  EXPECT_EQ(file.Resize(kMiB).error, EPERM);
  injector.Refuse(Call::kStat, EIO, 2);
  EXPECT_EQ(file.AllocatedBytes().error, EIO);
  file.Close();
}

// The way of some sandboxes: a call that their author did not foresee is death.
TEST(MemoryFile, AFilterThatKillsIsSurvived) {
  for (uint32_t action : {SECCOMP_RET_KILL_PROCESS, SECCOMP_RET_KILL_THREAD, SECCOMP_RET_TRAP}) {
    const pid_t child = fork();
    if (child == 0) {
      struct sock_filter code[] = {
          BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
          BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_memfd_create, 0, 1),
          BPF_STMT(BPF_RET | BPF_K, action),
          BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
      };
      struct sock_fprog program = {sizeof(code) / sizeof(code[0]), code};
      if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) _exit(1);
      if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0) _exit(2);
      MemoryFile file;
      _exit(file.Create().error == ECHILD && !file.is_open() ? 0 : 3);
    }
    int status = -1;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    EXPECT_EQ(status, 0) << std::hex << action;
  }
}

TEST(Descriptors, StayLowWhenTheLimitIsUnknown) {
  FaultInjector injector;
  injector.Refuse(Call::kLimit, EPERM);
  const int copy = dup(0);
  Result<OpenedFile> opened = OpenOutOfTheWay(
      [](void* number) {
        return Result<int>{*static_cast<int*>(number), 0};
      },
      const_cast<int*>(&copy));
  EXPECT_EQ(opened.value.descriptor, copy);
  EXPECT_TRUE(CloseDescriptor(copy).ok());
  EXPECT_EQ(CloseDescriptor(copy).error, EBADF);
  EXPECT_FALSE(IsStillOurs(-1, {}));
}

TEST(SmallFile, ReadsAllOrTheStart) {
  char buffer[64];
  Result<size_t> size = ReadSmallFile("/proc/sys/kernel/ostype", buffer);
  ASSERT_TRUE(size.ok());
  EXPECT_EQ(std::string(buffer, size.value), "Linux\n");
  size = ReadSmallFile("/proc/sys/kernel/ostype", std::span<char>(buffer, 3));
  EXPECT_EQ(size.value, 3u);
  EXPECT_EQ(ReadSmallFile("/proc/no such file", buffer).error, ENOENT);
  FaultInjector injector;
  injector.Refuse(Call::kRead, EINTR);
  EXPECT_EQ(ReadSmallFile("/proc/sys/kernel/ostype", buffer).value, 6u);
  injector.Refuse(Call::kRead, EIO);
  EXPECT_EQ(ReadSmallFile("/proc/sys/kernel/ostype", buffer).error, EIO);
  injector.Refuse(Call::kOpen, EMFILE);
  EXPECT_EQ(ReadSmallFile("/proc/sys/kernel/ostype", buffer).error, EMFILE);
}

TEST(WriteAll, SurvivesInterruption) {
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  FaultInjector injector;
  injector.Refuse(Call::kWrite, EINTR);
  EXPECT_TRUE(WriteAll(ends[1], "hello").ok());
  char buffer[16];
  EXPECT_EQ(read(ends[0], buffer, sizeof(buffer)), 5);
  injector.Refuse(Call::kWrite, EIO);
  EXPECT_EQ(WriteAll(ends[1], "hello").error, EIO);
  close(ends[0]);
  close(ends[1]);
}

}  // namespace
}  // namespace mesh::os
