// Tests of process.h: counts against what the test does, parsing of given text, fallbacks.
#include "src/os/process.h"

#include <gtest/gtest.h>
#include <linux/io_uring.h>
#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <functional>
#include <vector>

#include "src/base/sanitizer.h"
#include "src/base/units.h"
#include "src/os/file.h"
#include "src/os/memory.h"
#include "src/os/proc_text.h"
#include "test/os/fault_injector.h"

namespace mesh::os {
namespace {

TEST(ProcText, Numbers) {
  EXPECT_EQ(ParseNumber(" \t42 kB").value, 42u);
  EXPECT_EQ(ParseNumber("kB").error, EINVAL);
  EXPECT_EQ(ParseNumber("").error, EINVAL);
  EXPECT_EQ(FindNumber("Rss: 1 kB\nPss: 2 kB\n", "Pss:").value, 2u);
  EXPECT_EQ(FindNumber("XPss: 1\nPss: 2", "Pss:").value, 2u);
  EXPECT_EQ(FindNumber("Rss: 1", "Pss:").error, ENOENT);
  EXPECT_EQ(FindNumber("", "Pss:").error, ENOENT);
}

TEST(ProcText, StatFieldsBehindAHostileName) {
  constexpr std::string_view kStat = "12 (a) 3 b) (c) S 4 5 6\n";
  EXPECT_EQ(StatField(kStat, 4).value, 4u);
  EXPECT_EQ(StatField(kStat, 6).value, 6u);
  EXPECT_EQ(StatField(kStat, 7).error, EINVAL);
  EXPECT_EQ(StatField("nothing", 4).error, EINVAL);
}

// Writes whether a thread is said to block a signal after the only other thread was joined.
[[noreturn]] void JoinAndLook(int answers) {
  if (ptrace(PTRACE_TRACEME, 0, nullptr, nullptr) != 0) _exit(1);
  raise(SIGSTOP);
  pthread_t thread;
  auto end = [](void* nothing) { return nothing; };
  if (pthread_create(&thread, nullptr, end, nullptr) != 0) _exit(1);
  pthread_join(thread, nullptr);
  Result<bool> blocked = AnyOtherThreadBlocks(SIGSEGV);
  char answer = !blocked.ok() ? 'e' : blocked.value ? 'y' : 'n';
  _exit(write(answers, &answer, 1) == 1 ? 0 : 1);
}

// glibc ends a thread with every signal blocked, and who joins it may be faster than the kernel:
// always, if a debugger has yet to ask how it ended.
TEST(Process, ThreadsThatHaveEndedBlockNothing) {
  if (kThreadSanitizer) {
    GTEST_SKIP() << "ThreadSanitizer makes a thread of its own in the child, which is traced";
  }
  int answers[2];
  ASSERT_EQ(pipe(answers), 0);
  pid_t child = fork();
  if (child == 0) JoinAndLook(answers[1]);
  close(answers[1]);
  int status;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  ASSERT_EQ(ptrace(PTRACE_SETOPTIONS, child, nullptr, PTRACE_O_TRACECLONE | PTRACE_O_EXITKILL), 0);
  ASSERT_EQ(ptrace(PTRACE_CONT, child, nullptr, nullptr), 0);
  ASSERT_EQ(waitpid(child, &status, 0), child);
  ASSERT_EQ(status >> 8, SIGTRAP | (PTRACE_EVENT_CLONE << 8));
  unsigned long message;
  ASSERT_EQ(ptrace(PTRACE_GETEVENTMSG, child, nullptr, &message), 0);
  auto thread = static_cast<pid_t>(message);
  ASSERT_EQ(waitpid(thread, &status, __WALL), thread);
  ASSERT_EQ(ptrace(PTRACE_CONT, thread, nullptr, nullptr), 0);
  ASSERT_EQ(ptrace(PTRACE_CONT, child, nullptr, nullptr), 0);
  char answer = 0;
  EXPECT_EQ(read(answers[0], &answer, 1), 1);
  EXPECT_EQ(answer, 'n');
  // The process ends for us when its threads have.
  EXPECT_EQ(waitpid(thread, &status, __WALL), thread);
  EXPECT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  close(answers[0]);
}

// One that does not end counts.
TEST(Process, ThreadsThatBlockAreSeen) {
  if (kThreadSanitizer) {
    GTEST_SKIP() << "ThreadSanitizer makes a thread of its own, which blocks all signals";
  }
  int pipe_ends[2];
  ASSERT_EQ(pipe(pipe_ends), 0);
  sigset_t all, before;
  sigfillset(&all);
  ASSERT_EQ(pthread_sigmask(SIG_SETMASK, &all, &before), 0);
  auto wait = [](void* end) {
    char byte;
    static_cast<void>(!read(*static_cast<int*>(end), &byte, 1));
    return end;
  };
  pthread_t thread;
  ASSERT_EQ(pthread_create(&thread, nullptr, wait, &pipe_ends[0]), 0);
  ASSERT_EQ(pthread_sigmask(SIG_SETMASK, &before, nullptr), 0);
  EXPECT_TRUE(AnyOtherThreadBlocks(SIGSEGV).value);
  close(pipe_ends[1]);
  ASSERT_EQ(pthread_join(thread, nullptr), 0);
  EXPECT_FALSE(AnyOtherThreadBlocks(SIGSEGV).value);
  close(pipe_ends[0]);
}

TEST(Process, FiguresFromText) {
  MemoryFigures figures = ParseMemoryFigures(
      "55a-7ff ---p 00000000 00:00 0 [rollup]\nRss:  10 kB\nPss:  9 kB\nPss_Dirty: 1 kB\n"
      "Pss_Anon: 8 kB\nPss_File: 1 kB\nPss_Shmem: 2 kB\nAnonymous: 7 kB\n"
      "AnonHugePages: 6 kB\nSwap: 5 kB\nSwapPss: 4 kB\nLocked: 3 kB\n");
  EXPECT_EQ(figures.rss, 10 * kKiB);
  EXPECT_EQ(figures.pss, 9 * kKiB);
  EXPECT_EQ(figures.pss_anon, 8 * kKiB);
  EXPECT_EQ(figures.pss_file, 1 * kKiB);
  EXPECT_EQ(figures.pss_shmem, 2 * kKiB);
  EXPECT_EQ(figures.anonymous, 7 * kKiB);
  EXPECT_EQ(figures.anon_huge_pages, 6 * kKiB);
  EXPECT_EQ(figures.swap, 5 * kKiB);
  EXPECT_EQ(figures.swap_pss, 4 * kKiB);
  EXPECT_EQ(figures.locked, 3 * kKiB);
}

TEST(Process, FiguresFollowMemory) {
  Result<MemoryFigures> before = ReadMemoryFigures();
  ASSERT_TRUE(before.ok());
  Result<uintptr_t> place = MapAnonymous(8 * kMiB);
  ASSERT_TRUE(place.ok());
  memset(reinterpret_cast<void*>(place.value), 1, 8 * kMiB);
  Result<MemoryFigures> after = ReadMemoryFigures();
  EXPECT_GE(after.value.pss_anon, before.value.pss_anon + 7 * kMiB);
  EXPECT_GE(after.value.rss, before.value.rss + 7 * kMiB);
  EXPECT_GT(ReadPageFaults().value.minor, 0u);
  EXPECT_TRUE(Unmap(place.value, 8 * kMiB).ok());
}

void* WaitForByte(void* descriptor) {
  char byte;
  return reinterpret_cast<void*>(read(*static_cast<int*>(descriptor), &byte, 1));
}

TEST(Process, ThreadCountSeesThreads) {
  const size_t before = ThreadCount().value;  // a sanitizer may have one of its own
  EXPECT_GE(before, 1u);
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  pthread_t thread;
  ASSERT_EQ(pthread_create(&thread, nullptr, &WaitForByte, &ends[0]), 0);
  EXPECT_GT(ThreadCount().value, before);
  ASSERT_EQ(write(ends[1], "x", 1), 1);
  pthread_join(thread, nullptr);
  close(ends[0]);
  close(ends[1]);
}

TEST(Process, IoRingsAreSeen) {
  EXPECT_FALSE(HasIoRing().value);
  io_uring_params parameters = {};
  int ring = static_cast<int>(syscall(SYS_io_uring_setup, 1, &parameters));
  if (ring < 0) GTEST_SKIP() << "no io_uring for us";
  EXPECT_TRUE(HasIoRing().value);
  close(ring);
  int events = eventfd(0, 0);
  EXPECT_FALSE(HasIoRing().value) << "other descriptors without a file";
  close(events);
  FaultInjector injector;
  injector.Refuse(Call::kOpen, EMFILE);
  EXPECT_EQ(HasIoRing().error, EMFILE);
}

TEST(Process, MappingCountSeesMappings) {
  Result<uintptr_t> place = Reserve(201 * kPageSize);
  ASSERT_TRUE(place.ok());
  Result<size_t> before = MappingCount();
  ASSERT_TRUE(before.ok());
  for (size_t i = 1; i < 201; i += 2) {
    ASSERT_TRUE(Commit(place.value + i * kPageSize, kPageSize).ok());
  }
  EXPECT_EQ(MappingCount().value, before.value + 200);
  EXPECT_GT(MaxMappingCount().value, before.value);
  EXPECT_TRUE(Unmap(place.value, 201 * kPageSize).ok());
}

TEST(Process, DumpsHoldPrivateFiles) {
  auto filter = [] {
    char text[32] = {};
    EXPECT_TRUE(ReadSmallFile("/proc/self/coredump_filter", text).ok());
    return strtoul(text, nullptr, 16);
  };
  const pid_t child = fork();
  if (child == 0) {
    const unsigned long before = filter();
    if (!DumpPrivateFiles().ok()) _exit(1);
    if (filter() != (before | 4)) _exit(2);
    _exit(DumpPrivateFiles().ok() && filter() == (before | 4) ? 0 : 3);
  }
  int status = -1;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  FaultInjector injector;
  injector.Refuse(Call::kOpen, EACCES);
  EXPECT_EQ(DumpPrivateFiles().error, EACCES);
}

TEST(Process, IdentityAndTime) {
  EXPECT_EQ(ProcessId(), getpid());
  EXPECT_EQ(ThreadId(), getpid());
  const uint64_t start = MonotonicNs();
  EXPECT_GE(MonotonicNs(), start);
  EXPECT_TRUE(SeccompMode().ok());
}

TEST(Process, RandomBytesWithAndWithoutTheKernel) {
  EXPECT_NE(RandomSeed(), RandomSeed());
  FaultInjector injector;
  injector.Refuse(Call::kRandom, EINTR);
  EXPECT_NE(RandomSeed(), RandomSeed());
  injector.Refuse(Call::kRandom, ENOSYS, 1, FaultInjector::kForever);
  EXPECT_NE(RandomSeed(), RandomSeed());
}

TEST(Process, Membarrier) {
  Status registered = RegisterMembarrier();
  if (!registered.ok()) GTEST_SKIP() << "errno " << registered.error;
  EXPECT_TRUE(MembarrierAll().ok());
}

TEST(Process, EachCallReportsItsRefusal) {
  const struct {
    Call call;
    std::function<int()> make;
  } cases[] = {
      {Call::kOpen, [] { return ThreadCount().error; }},
      {Call::kRead, [] { return ThreadCount().error; }},
      {Call::kOpen, [] { return MappingCount().error; }},
      {Call::kRead, [] { return MappingCount().error; }},
      {Call::kOpen, [] { return MaxMappingCount().error; }},
      {Call::kOpen, [] { return ReadMemoryFigures().error; }},
      {Call::kOpen, [] { return SeccompMode().error; }},
      {Call::kUsage, [] { return ReadPageFaults().error; }},
      {Call::kMembarrier, [] { return RegisterMembarrier().error; }},
      {Call::kMembarrier, [] { return MembarrierAll().error; }},
  };
  FaultInjector injector;
  for (const auto& test : cases) {
    injector.Refuse(test.call, ENFILE);
    EXPECT_EQ(test.make(), ENFILE) << CallName(test.call);
  }
}

bool ForkIsDetected(const ForkDetector& detector) {
  const pid_t child = fork();
  if (child == 0) _exit(detector.was_forked() ? 0 : 1);
  int status = 0;
  waitpid(child, &status, 0);
  return status == 0;
}

TEST(ForkDetector, SeesAFork) {
  ForkDetector detector;
  EXPECT_FALSE(detector.was_forked());
  ASSERT_TRUE(detector.Arm().ok());
  EXPECT_FALSE(detector.was_forked());
  EXPECT_TRUE(ForkIsDetected(detector));
  EXPECT_FALSE(detector.was_forked());
}

TEST(ForkDetector, SeesAForkWithoutTheAdvice) {
  FaultInjector injector;
  ForkDetector detector;
  injector.Refuse(Call::kAdvise, EINVAL);
  EXPECT_EQ(detector.Arm().error, EINVAL);
  EXPECT_FALSE(detector.was_forked());
  EXPECT_TRUE(ForkIsDetected(detector));
  injector.Refuse(Call::kMapAnonymous, ENOMEM);
  EXPECT_EQ(detector.Arm().error, ENOMEM);
  EXPECT_TRUE(ForkIsDetected(detector));
}

}  // namespace
}  // namespace mesh::os
