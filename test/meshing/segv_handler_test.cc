// Tests of SegvHandler: faults of the program reach the program as if we were not there.
#include "src/meshing/segv_handler.h"

#include <gtest/gtest.h>
#include <setjmp.h>
#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <functional>

#include "src/base/units.h"
#include "src/os/memory.h"
#include "src/os/process.h"
#include "test/meshing/barrier_workers.h"
#include "test/os/fault_injector.h"

namespace mesh {
namespace {

// What the program's handler saw.
struct Seen {
  int count;
  int code;
  void* address;
  char* stack;
  os::SignalMask mask;
};
Seen seen;
sigjmp_buf back;

void Note(siginfo_t* info) {
  char here;
  seen = {seen.count + 1, info == nullptr ? 0 : info->si_code,
          info == nullptr ? nullptr : info->si_addr, &here, CurrentMask()};
}
void JumpOut(int, siginfo_t* info, void*) {
  Note(info);
  siglongjmp(back, 1);
}
void JumpOutOld(int) {
  Note(nullptr);
  siglongjmp(back, 1);
}
void JustNote(int, siginfo_t* info, void*) { Note(info); }

struct sigaction Action(void (*function)(int, siginfo_t*, void*), int flags) {
  struct sigaction action = {};
  action.sa_sigaction = function;
  action.sa_flags = SA_SIGINFO | flags;
  sigemptyset(&action.sa_mask);
  return action;
}

class SegvHandlerTest : public testing::Test {
 protected:
  void SetUp() override {
    seen = {};
    page_ = os::MapAnonymous(kPageSize).value;
    ASSERT_NE(page_, 0u);
  }
  void TearDown() override {
    handler_.Uninstall();
    signal(SIGSEGV, SIG_DFL);
    EXPECT_TRUE(os::Unmap(page_, kPageSize).ok());
  }
  volatile char& byte() { return *reinterpret_cast<volatile char*>(page_); }
  void MakeReadOnly() { ASSERT_TRUE(os::Protect(page_, kPageSize, os::Protection::kRead).ok()); }
  void MakeWritable() {
    ASSERT_TRUE(os::Protect(page_, kPageSize, os::Protection::kReadWrite).ok());
  }
  // A true fault, from which the program's handler jumps out.
  void Fault() {
    MakeReadOnly();
    if (sigsetjmp(back, 1) == 0) byte() = 1;
  }

  SegvHandler handler_;
  uintptr_t page_ = 0;
};

TEST_F(SegvHandlerTest, WritersWaitForTheEndOfThePass) {
  ASSERT_TRUE(handler_.Install().ok());
  ASSERT_TRUE(handler_.BeginPass());
  MakeReadOnly();
  std::atomic<bool> done{false};
  const std::function<void()> write = [&] {
    byte() = 5;
    done = true;
  };
  pthread_t thread;
  ASSERT_EQ(pthread_create(
                &thread, nullptr,
                [](void* f) -> void* {
                  (*static_cast<const std::function<void()>*>(f))();
                  return nullptr;
                },
                const_cast<std::function<void()>*>(&write)),
            0);
  usleep(30'000);
  EXPECT_FALSE(done);
  MakeWritable();
  usleep(10'000);
  handler_.EndPass();
  pthread_join(thread, nullptr);
  EXPECT_EQ(byte(), 5);
}

TEST_F(SegvHandlerTest, TrueFaultReachesTheProgram) {
  struct sigaction action = Action(&JumpOut, 0);
  sigaddset(&action.sa_mask, SIGUSR1);
  ASSERT_EQ(sigaction(SIGSEGV, &action, nullptr), 0);
  const os::SignalMask before = CurrentMask();
  ASSERT_TRUE(handler_.Install().ok());
  ASSERT_TRUE(handler_.BeginPass());
  handler_.EndPass();
  for (int i = 1; i <= 3; i++) {
    Fault();
    EXPECT_EQ(seen.count, i);
    EXPECT_EQ(seen.code, SEGV_ACCERR);
    EXPECT_EQ(seen.address, reinterpret_cast<void*>(page_));
    EXPECT_EQ(seen.mask, before | os::MaskOf(SIGSEGV) | os::MaskOf(SIGUSR1));
    EXPECT_EQ(CurrentMask(), before);
  }
}

TEST_F(SegvHandlerTest, UnmappedMemoryIsNeverOurs) {
  const struct sigaction action = Action(&JumpOut, SA_NODEFER);
  ASSERT_EQ(sigaction(SIGSEGV, &action, nullptr), 0);
  const os::SignalMask before = CurrentMask();
  ASSERT_TRUE(handler_.Install().ok());
  ASSERT_TRUE(handler_.BeginPass());  // reaches the program at once, also in a pass
  const uintptr_t hole = os::MapAnonymous(kPageSize).value;
  ASSERT_TRUE(os::Unmap(hole, kPageSize).ok());
  if (sigsetjmp(back, 1) == 0) *reinterpret_cast<volatile char*>(hole) = 1;
  handler_.EndPass();
  EXPECT_EQ(seen.count, 1);
  EXPECT_EQ(seen.code, SEGV_MAPERR);
  EXPECT_EQ(seen.mask, before);
}

TEST_F(SegvHandlerTest, OneShotAndOldStyle) {
  struct sigaction action = {};
  action.sa_handler = &JumpOutOld;
  action.sa_flags = static_cast<int>(SA_RESETHAND);
  ASSERT_EQ(sigaction(SIGSEGV, &action, nullptr), 0);
  ASSERT_TRUE(handler_.Install().ok());
  Fault();
  EXPECT_EQ(seen.count, 1);
  os::Result<os::SignalAction> now = handler_.Exchange(nullptr);
  EXPECT_EQ(now.value.handler, reinterpret_cast<void*>(SIG_DFL));
  EXPECT_EXIT(Fault(), testing::KilledBySignal(SIGSEGV), "");
}

TEST_F(SegvHandlerTest, AlternateStackOnlyIfTheProgramSaidSo) {
  static char stack_memory[64 * kKiB];
  stack_t alternate = {};
  alternate.ss_sp = stack_memory;
  alternate.ss_size = sizeof(stack_memory);
  ASSERT_EQ(sigaltstack(&alternate, nullptr), 0);
  for (int flag : {0, SA_ONSTACK}) {
    const struct sigaction action = Action(&JumpOut, flag);
    ASSERT_EQ(sigaction(SIGSEGV, &action, nullptr), 0);
    ASSERT_TRUE(handler_.Install().ok());
    Fault();
    const bool there =
        seen.stack >= stack_memory && seen.stack < stack_memory + sizeof(stack_memory);
    EXPECT_EQ(there, flag == SA_ONSTACK);
    handler_.Uninstall();
  }
  alternate.ss_flags = SS_DISABLE;
  sigaltstack(&alternate, nullptr);
}

TEST_F(SegvHandlerTest, DefaultActionKills) {
  ASSERT_TRUE(handler_.Install().ok());
  EXPECT_EXIT(Fault(), testing::KilledBySignal(SIGSEGV), "");
  EXPECT_EXIT(raise(SIGSEGV), testing::KilledBySignal(SIGSEGV), "");
  signal(SIGSEGV, SIG_IGN);
  ASSERT_TRUE(handler_.Install().ok());
  EXPECT_EXIT(Fault(), testing::KilledBySignal(SIGSEGV), "");
  EXPECT_EQ(raise(SIGSEGV), 0);  // a signal that was sent can be ignored
}

TEST_F(SegvHandlerTest, SentSignalsReachTheProgram) {
  const struct sigaction action = Action(&JustNote, 0);
  ASSERT_EQ(sigaction(SIGSEGV, &action, nullptr), 0);
  ASSERT_TRUE(handler_.Install().ok());
  const union sigval value = {42};
  ASSERT_EQ(sigqueue(getpid(), SIGSEGV, value), 0);
  EXPECT_EQ(seen.count, 1);
  EXPECT_EQ(seen.code, SI_QUEUE);
}

TEST_F(SegvHandlerTest, ExchangeKeepsTheProgramsView) {
  const struct sigaction first = Action(&JumpOut, 0);
  ASSERT_EQ(sigaction(SIGSEGV, &first, nullptr), 0);
  ASSERT_TRUE(handler_.Install().ok());
  ASSERT_TRUE(handler_.Install().ok());  // again is harmless
  os::Result<os::SignalAction> view = handler_.Exchange(nullptr);
  EXPECT_EQ(view.value.handler, reinterpret_cast<void*>(&JumpOut));
  os::SignalAction wanted = view.value;
  wanted.handler = reinterpret_cast<void*>(&JustNote);
  EXPECT_EQ(handler_.Exchange(&wanted).value.handler, reinterpret_cast<void*>(&JumpOut));
  os::FaultInjector injector;
  injector.Refuse(os::Call::kSignalAction, EPERM);
  EXPECT_EQ(handler_.Exchange(&view.value).error, EPERM);
  EXPECT_EQ(handler_.Exchange(nullptr).value.handler, reinterpret_cast<void*>(&JustNote));
  handler_.Uninstall();
  struct sigaction kernel;
  ASSERT_EQ(sigaction(SIGSEGV, nullptr, &kernel), 0);
  EXPECT_EQ(kernel.sa_sigaction, &JustNote);
  // Not installed: straight to the kernel.
  EXPECT_EQ(handler_.Exchange(&view.value).value.handler, reinterpret_cast<void*>(&JustNote));
  EXPECT_EQ(handler_.Exchange(nullptr).value.handler, reinterpret_cast<void*>(&JumpOut));
}

// The kernel's own view, past every interposition.
bool KernelMasksSegv(int signal_number) {
  return (os::GetSignalAction(signal_number).value.mask & os::MaskOf(SIGSEGV)) != 0;
}

TEST_F(SegvHandlerTest, NoHandlerRunsWithTheSignalBlocked) {
  struct sigaction full = Action(&JustNote, 0);
  sigfillset(&full.sa_mask);
  ASSERT_EQ(handler_.Sigaction(&sigaction, SIGUSR1, &full, nullptr), 0);
  EXPECT_TRUE(KernelMasksSegv(SIGUSR1)) << "not installed";
  ASSERT_TRUE(handler_.Install().ok());
  EXPECT_FALSE(KernelMasksSegv(SIGUSR1));
  struct sigaction view;
  ASSERT_EQ(handler_.Sigaction(&sigaction, SIGUSR2, &full, &view), 0);
  EXPECT_EQ(view.sa_handler, SIG_DFL);
  EXPECT_FALSE(KernelMasksSegv(SIGUSR2));
  for (int number : {SIGUSR1, SIGUSR2}) {
    ASSERT_EQ(handler_.Sigaction(&sigaction, number, nullptr, &view), 0);
    EXPECT_EQ(view.sa_sigaction, &JustNote);
    EXPECT_EQ(sigismember(&view.sa_mask, SIGSEGV), 1);
    EXPECT_EQ(sigismember(&view.sa_mask, SIGTERM), 1);
  }
  handler_.Uninstall();
  EXPECT_TRUE(KernelMasksSegv(SIGUSR1));
  signal(SIGUSR1, SIG_DFL);
  signal(SIGUSR2, SIG_DFL);
}

TEST_F(SegvHandlerTest, SigactionKeepsTheProgramsView) {
  ASSERT_TRUE(handler_.Install().ok());
  const struct sigaction action = Action(&JumpOut, SA_ONSTACK);
  struct sigaction view;
  ASSERT_EQ(handler_.Sigaction(&sigaction, SIGSEGV, &action, &view), 0);
  EXPECT_EQ(view.sa_handler, SIG_DFL);
  ASSERT_EQ(handler_.Sigaction(&sigaction, SIGSEGV, nullptr, &view), 0);
  EXPECT_EQ(view.sa_sigaction, &JumpOut);
  EXPECT_EQ(view.sa_flags & (SA_ONSTACK | SA_SIGINFO | SA_RESTART), SA_ONSTACK | SA_SIGINFO);
  Fault();
  EXPECT_EQ(seen.count, 1);
  EXPECT_EQ(handler_.Sigaction(&sigaction, SIGKILL, &action, nullptr), -1);
  EXPECT_EQ(errno, EINVAL);
}

TEST_F(SegvHandlerTest, RawSigactionTakesItBack) {
  ASSERT_TRUE(handler_.Install().ok());
  const struct sigaction action = Action(&JumpOut, 0);
  ASSERT_EQ(sigaction(SIGSEGV, &action, nullptr), 0);
  ASSERT_TRUE(handler_.Install().ok());  // at the next pass
  Fault();
  EXPECT_EQ(seen.count, 1);
  EXPECT_EQ(handler_.Exchange(nullptr).value.handler, reinterpret_cast<void*>(&JumpOut));
}

TEST_F(SegvHandlerTest, NoPassWhileAThreadBlocksTheSignal) {
  ASSERT_TRUE(handler_.Install().ok());
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGSEGV);
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
  EXPECT_TRUE(handler_.BeginPass());  // the mesher itself stores nothing
  handler_.EndPass();
  {
    Sleeper sleeper;  // inherits the mask
    EXPECT_FALSE(handler_.BeginPass());
  }
  pthread_sigmask(SIG_UNBLOCK, &set, nullptr);
  {
    Sleeper sleeper;
    EXPECT_TRUE(handler_.BeginPass());
    handler_.EndPass();
    os::FaultInjector injector;
    for (os::Call call : {os::Call::kOpen, os::Call::kRead}) {
      injector.Refuse(call, EMFILE);
      EXPECT_FALSE(handler_.BeginPass());
      injector.Refuse(call, EMFILE, 2);
      EXPECT_FALSE(handler_.BeginPass());
    }
  }
  handler_.AwaitNoPass();
}

TEST_F(SegvHandlerTest, RefusedInstallChangesNothing) {
  os::FaultInjector injector;
  injector.Refuse(os::Call::kSignalAction, EPERM, 2);
  EXPECT_EQ(handler_.Install().error, EPERM);
  EXPECT_FALSE(handler_.is_installed());
  injector.Refuse(os::Call::kSignalAction, EPERM);
  EXPECT_EQ(handler_.Install().error, EPERM);
  injector.Refuse(os::Call::kSignalMask, EPERM);
  EXPECT_EQ(handler_.Install().error, EPERM);
  injector.Refuse(os::Call::kSignalMask, EPERM);
  EXPECT_EQ(handler_.Exchange(nullptr).error, EPERM);
  EXPECT_EXIT(Fault(), testing::KilledBySignal(SIGSEGV), "");
}

}  // namespace
}  // namespace mesh
