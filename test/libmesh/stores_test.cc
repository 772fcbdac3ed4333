// Tests of the interposed functions that publish: each lends what the kernel stores into, and takes
// it back, and changes nothing else.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <string>

#include "src/libmesh/file_buffer.h"
#include "src/libmesh/real.h"
#include "test/libmesh/fake_hooks.h"

namespace mesh {
namespace {

class StoresTest : public testing::Test {
 protected:
  StoresTest() {
    EXPECT_EQ(pipe(ends_), 0);
    SetArena(arena_, arena_ + sizeof(arena_));
    is_publishing = true;
    ClearHooks();
  }
  ~StoresTest() override {
    is_publishing = false;
    SetArena(nullptr, nullptr);
    close(ends_[0]);
    close(ends_[1]);
  }

  static std::string Seen() {
    std::string seen = hook_calls;
    ClearHooks();
    return seen;
  }
  void Feed(const char* text) {
    ssize_t size = static_cast<ssize_t>(strlen(text));
    EXPECT_EQ(write(ends_[1], text, strlen(text)), size);
  }
  template <typename T>
  T* InArena(size_t offset = 0) {
    return reinterpret_cast<T*>(arena_ + offset);
  }

  int ends_[2];
  alignas(64) char arena_[16384] = {};
};

TEST_F(StoresTest, OursAreInFront) {
  EXPECT_NE(FindReal(RealId::readv), reinterpret_cast<void*>(&readv));
  EXPECT_NE(FindReal(RealId::recvmsg), reinterpret_cast<void*>(&recvmsg));
}

TEST_F(StoresTest, WhatLiesInTheArenaIsLent) {
  Feed("hello");
  EXPECT_EQ(read(ends_[0], arena_, 3), 3);
  EXPECT_EQ(Seen(), "lend:3 back");
  char outside[2];
  EXPECT_EQ(read(ends_[0], outside, 2), 2);
  EXPECT_EQ(Seen(), "");
  EXPECT_EQ(memcmp(arena_, "hel", 3), 0);
  EXPECT_EQ(memcmp(outside, "lo", 2), 0);
}

TEST_F(StoresTest, NothingIsAskedInTheUpperTiers) {
  is_publishing = false;
  Feed("a");
  EXPECT_EQ(read(ends_[0], arena_, 1), 1);
  struct stat* info = InArena<struct stat>();
  EXPECT_EQ(stat("/", info), 0);
  EXPECT_EQ(syscall(SYS_getrandom, arena_, 8, 0), 8);
  EXPECT_EQ(Seen(), "");
}

TEST_F(StoresTest, NoMoreThanAPageIsLent) {
  Feed("a");
  EXPECT_EQ(read(ends_[0], arena_, 10000), 1);
  EXPECT_EQ(Seen(), "lend:4096 back");
}

TEST_F(StoresTest, ErrorsAreKept) {
  EXPECT_EQ(read(-1, arena_, 1), -1);
  EXPECT_EQ(errno, EBADF);
  EXPECT_EQ(Seen(), "lend:1 back");
}

TEST_F(StoresTest, BadPointersFailAtOnce) {
  volatile uintptr_t nowhere = 8;
  void* bad = reinterpret_cast<void*>(nowhere);
  Feed("a");
  EXPECT_EQ(read(ends_[0], bad, 1), -1);
  EXPECT_EQ(errno, EFAULT);
  EXPECT_EQ(readv(ends_[0], static_cast<iovec*>(bad), 1), -1);
  EXPECT_EQ(errno, EFAULT);
  EXPECT_EQ(recvmsg(ends_[0], static_cast<msghdr*>(bad), 0), -1);
  EXPECT_EQ(errno, ENOTSOCK);
  EXPECT_EQ(Seen(), "");
}

TEST_F(StoresTest, PartsAreLentEach) {
  Feed("abcdef");
  iovec parts[3] = {{arena_, 1}, {&parts, 0}, {arena_ + 100, 2}};
  EXPECT_EQ(readv(ends_[0], parts, 3), 3);
  EXPECT_EQ(Seen(), "lend:1:2 back");
}

TEST_F(StoresTest, ManyPartsAreAllMemory) {
  iovec parts[20];
  for (int i = 0; i < 20; i++) parts[i] = {arena_ + 64 * i, 1};
  Feed("abcdefghijklmnopqrst");
  EXPECT_EQ(readv(ends_[0], parts, 20), 20);
  EXPECT_EQ(Seen().substr(0, 8), "lend:all");
  EXPECT_EQ(arena_[64 * 19], 't');
}

TEST_F(StoresTest, MessagesAreLentWithAllTheyPointTo) {
  int pair[2];
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_DGRAM, 0, pair), 0);
  ASSERT_EQ(send(pair[0], "abc", 3, 0), 3);
  iovec part = {arena_, 3};
  msghdr* message = InArena<msghdr>(1024);
  *message = {};
  message->msg_iov = &part;
  message->msg_iovlen = 1;
  message->msg_control = arena_ + 512;
  message->msg_controllen = 40;
  EXPECT_EQ(recvmsg(pair[1], message, 0), 3);
  EXPECT_EQ(Seen(), "lend:56:40:3 back");
  close(pair[0]);
  close(pair[1]);
}

TEST_F(StoresTest, WaitingCallsAreAnnouncedAndLend) {
  pollfd* file = InArena<pollfd>();
  *file = {ends_[0], POLLIN, 0};
  EXPECT_EQ(poll(file, 1, 1), 0);
  EXPECT_EQ(Seen(), "block lend:8 back");
  int child = fork();
  if (child == 0) _exit(7);
  EXPECT_EQ(Seen(), "permit resume");
  int* status = InArena<int>();
  EXPECT_EQ(waitpid(child, status, 0), child);
  EXPECT_EQ(Seen(), "lend:4 back");
  EXPECT_EQ(WEXITSTATUS(*status), 7);
}

TEST_F(StoresTest, ControlCallsLendAllMemoryForPointers) {
  Feed("abc");
  int waiting = 0;
  EXPECT_EQ(ioctl(ends_[0], FIONREAD, &waiting), 0);
  EXPECT_EQ(waiting, 3);
  EXPECT_EQ(Seen(), "lend:all back");
  EXPECT_EQ(fcntl(ends_[0], F_SETFD, FD_CLOEXEC), 0);
  EXPECT_EQ(fcntl(ends_[0], F_GETFD), FD_CLOEXEC);
  EXPECT_EQ(Seen(), "");
}

TEST_F(StoresTest, SyscallsAreKnownByNumber) {
  Feed("abc");
  EXPECT_EQ(syscall(SYS_read, ends_[0], arena_, 3), 3);
  EXPECT_EQ(Seen(), "lend:3 back");
  EXPECT_EQ(syscall(SYS_gettid), gettid());
  EXPECT_EQ(Seen(), "");
  EXPECT_EQ(syscall(SYS_getpgid, 0), getpgid(0));
  EXPECT_EQ(Seen(), "lend:all back") << "not in the table";
}

TEST_F(StoresTest, RingsShareTheMemory) {
  EXPECT_EQ(syscall(SYS_io_uring_setup, 0, nullptr), -1);
  EXPECT_EQ(Seen().substr(0, 6), "shared");
}

// Refused by the kernel, each of them: what is said is said before.
TEST_F(StoresTest, FiltersAreAnnounced) {
  EXPECT_EQ(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, nullptr), -1);
  EXPECT_EQ(Seen().find("filter"), std::string::npos) << "asks whether there are filters at all";
  sock_fprog empty = {0, nullptr};
  EXPECT_EQ(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &empty), -1);
  EXPECT_EQ(Seen().substr(0, 6), "filter");
  EXPECT_EQ(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &empty), -1);
  EXPECT_EQ(Seen().substr(0, 6), "filter");
  EXPECT_EQ(prctl(PR_GET_SECCOMP), 0);
  EXPECT_EQ(Seen().find("filter"), std::string::npos);
}

TEST_F(StoresTest, BufferOfAStreamIsKeptUntilItIsClosed) {
  FILE* file = fopen("/dev/null", "r");
  ASSERT_EQ(setvbuf(file, arena_, _IOFBF, 100), 0);
  EXPECT_EQ(Seen(), "keep:100");
  fclose(file);
  EXPECT_EQ(Seen(), "end");
  file = fopen("/dev/null", "w");
  ASSERT_EQ(setvbuf(file, arena_, _IOFBF, 100), 0);
  EXPECT_EQ(Seen(), "") << "the kernel only reads it";
  fclose(file);
}

TEST_F(StoresTest, AlternateStackIsKeptUntilThereIsAnother) {
  stack_t before;
  ASSERT_EQ(sigaltstack(nullptr, &before), 0);
  stack_t stack = {};
  stack.ss_sp = arena_;
  stack.ss_size = sizeof(arena_);
  ASSERT_EQ(sigaltstack(&stack, nullptr), 0);
  EXPECT_EQ(Seen(), "keep:16384");
  ASSERT_EQ(sigaltstack(&before, nullptr), 0);
  EXPECT_EQ(Seen(), "end");
}

TEST_F(StoresTest, MutexesOfTheKernelAreKept) {
  auto* mutex = InArena<pthread_mutex_t>();
  ASSERT_EQ(pthread_mutex_init(mutex, nullptr), 0);
  EXPECT_EQ(Seen(), "");
  pthread_mutexattr_t attributes;
  pthread_mutexattr_init(&attributes);
  pthread_mutexattr_setprotocol(&attributes, PTHREAD_PRIO_INHERIT);
  ASSERT_EQ(pthread_mutex_init(mutex, &attributes), 0);
  EXPECT_EQ(Seen(), "keep:40");
  pthread_mutex_destroy(mutex);
  EXPECT_EQ(Seen(), "end");
  pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
  ASSERT_EQ(pthread_mutex_init(mutex, &attributes), 0);
  EXPECT_EQ(Seen(), "pin:40");
  pthread_mutex_destroy(mutex);
  EXPECT_EQ(Seen(), "end");
}

TEST_F(StoresTest, TheAreaOfAThreadsProcessorIsKept) {
  constexpr long kUnregister = 1;
  alignas(32) char elsewhere[32];
  // Refused, as libc has registered another for this thread, or as the signature is wrong.
  syscall(SYS_rseq, InArena<char[32]>(), 32, 0, 1);
  EXPECT_EQ(Seen(), "keep:32 lend:all back");
  syscall(SYS_rseq, InArena<char[32]>(), 32, kUnregister, 1);
  EXPECT_EQ(Seen(), "end lend:all back");
  syscall(SYS_rseq, elsewhere, 32, 0, 1);
  EXPECT_EQ(Seen(), "lend:all back");
}

TEST_F(StoresTest, DispositionsAndMasksAreTold) {
  struct sigaction action;
  EXPECT_EQ(sigaction(SIGUSR1, nullptr, &action), 0);
  EXPECT_EQ(Seen(), "action:10");
  EXPECT_EQ(signal(SIGUSR1, SIG_DFL), SIG_DFL);
  EXPECT_EQ(Seen(), "");
  EXPECT_EQ(signal(SIGSEGV, SIG_DFL), SIG_DFL);
  EXPECT_EQ(Seen(), "action:11");
  sigset_t all, before;
  sigfillset(&all);
  EXPECT_EQ(pthread_sigmask(SIG_BLOCK, &all, &before), 0);
  EXPECT_EQ(Seen(), "blocked");
  EXPECT_EQ(pthread_sigmask(SIG_SETMASK, &before, nullptr), 0);
  EXPECT_EQ(Seen(), "");
}

TEST_F(StoresTest, FileBuffersAreKnownByTheirCaller) {
  ASSERT_GT(file_buffer_code.length, 0u);
  auto* inside = reinterpret_cast<void*>(file_buffer_code.start + 1);
  EXPECT_TRUE(IsFileBuffer(1024, inside));
  EXPECT_FALSE(IsFileBuffer(1000, inside));
  EXPECT_FALSE(IsFileBuffer(4096, inside)) << "never meshed";
  EXPECT_FALSE(IsFileBuffer(1024, reinterpret_cast<void*>(&write)));
}

void* ReadForEver(void* end) {
  char byte;
  EXPECT_EQ(read(*static_cast<int*>(end), &byte, 1), 1) << "not reached";
  return nullptr;
}

TEST_F(StoresTest, CallsCanBeCancelled) {
  pthread_t thread;
  ASSERT_EQ(pthread_create(&thread, nullptr, ReadForEver, ends_), 0);
  pthread_cancel(thread);
  void* result = nullptr;
  ASSERT_EQ(pthread_join(thread, &result), 0);
  EXPECT_EQ(result, PTHREAD_CANCELED);
}

}  // namespace
}  // namespace mesh
