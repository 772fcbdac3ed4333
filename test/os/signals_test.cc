// Tests of signals.h: masks, the file size guard, dispositions.
#include "src/os/signals.h"

#include <gtest/gtest.h>
#include <signal.h>

#include "test/os/fault_injector.h"

namespace mesh::os {
namespace {

volatile sig_atomic_t seen = 0;
void CountSignal(int) { seen = seen + 1; }
void CountSignalInfo(int, siginfo_t* info, void*) { seen = seen + (info != nullptr ? 1 : 100); }

SignalMask CurrentMask() {
  Result<SignalMask> mask = AddToSignalMask(0);
  EXPECT_TRUE(mask.ok());
  return mask.value;
}

TEST(Signals, AllAreBlockedAndComeAfterwards) {
  signal(SIGUSR1, &CountSignal);
  seen = 0;
  const SignalMask before = CurrentMask();
  {
    BlockAllSignals guard;
    ASSERT_TRUE(guard.status().ok());
    EXPECT_EQ(guard.before(), before);
    // Also 32 and 33, which libc keeps for itself and never blocks.
    EXPECT_EQ(CurrentMask(), kAllSignals & ~MaskOf(SIGKILL) & ~MaskOf(SIGSTOP));
    EXPECT_TRUE(RaiseInThread(SIGUSR1).ok());
    EXPECT_EQ(seen, 0);
    EXPECT_EQ(PendingSignals().value, MaskOf(SIGUSR1));
  }
  EXPECT_EQ(seen, 1);
  EXPECT_EQ(CurrentMask(), before);
  signal(SIGUSR1, SIG_DFL);
}

TEST(Signals, RefusedMaskBlocksNothing) {
  const SignalMask before = CurrentMask();
  FaultInjector injector;
  injector.Refuse(Call::kSignalMask, EPERM);
  {
    BlockAllSignals refused;
    EXPECT_EQ(refused.status().error, EPERM);
    EXPECT_EQ(CurrentMask(), before);
  }
  EXPECT_EQ(CurrentMask(), before);
}

TEST(FileSizeSignal, OursIsSwallowed) {
  signal(SIGXFSZ, &CountSignal);
  seen = 0;
  {
    FileSizeSignalGuard guard;
    ASSERT_TRUE(guard.status().ok());
    EXPECT_TRUE(RaiseInThread(SIGXFSZ).ok());
  }
  EXPECT_EQ(seen, 0);
  EXPECT_EQ(PendingSignals().value, 0u);
  signal(SIGXFSZ, SIG_DFL);
}

TEST(FileSizeSignal, TheProgramsOwnIsKept) {
  signal(SIGXFSZ, &CountSignal);
  seen = 0;
  Result<SignalMask> before = AddToSignalMask(MaskOf(SIGXFSZ));
  EXPECT_TRUE(RaiseInThread(SIGXFSZ).ok());
  { FileSizeSignalGuard guard; }
  EXPECT_EQ(PendingSignals().value, MaskOf(SIGXFSZ));
  EXPECT_TRUE(SetSignalMask(before.value).ok());
  EXPECT_EQ(seen, 1);
  FaultInjector injector;
  injector.Refuse(Call::kSignalMask, EPERM);
  FileSizeSignalGuard refused;
  EXPECT_EQ(refused.status().error, EPERM);
  signal(SIGXFSZ, SIG_DFL);
}

TEST(SignalActions, RoundTrip) {
  Result<SignalAction> before = GetSignalAction(SIGUSR2);
  ASSERT_TRUE(before.ok());
  seen = 0;
  ASSERT_TRUE(SetSignalHandler(SIGUSR2, &CountSignalInfo, SA_ONSTACK, MaskOf(SIGUSR1)).ok());
  EXPECT_TRUE(RaiseInThread(SIGUSR2).ok());
  EXPECT_EQ(seen, 1);
  struct sigaction libc_view;
  ASSERT_EQ(sigaction(SIGUSR2, nullptr, &libc_view), 0);
  EXPECT_EQ(libc_view.sa_sigaction, &CountSignalInfo);
  EXPECT_EQ(libc_view.sa_flags & (SA_ONSTACK | SA_SIGINFO), SA_ONSTACK | SA_SIGINFO);
  EXPECT_EQ(sigismember(&libc_view.sa_mask, SIGUSR1), 1);
  ASSERT_TRUE(SetSignalAction(SIGUSR2, before.value).ok());
  EXPECT_EQ(GetSignalAction(SIGUSR2).value.handler, before.value.handler);
  EXPECT_EQ(GetSignalAction(SIGKILL + 100).error, EINVAL);
}

TEST(SignalActions, Refusals) {
  FaultInjector injector;
  injector.Refuse(Call::kSignalAction, EPERM, 1, 3);
  EXPECT_EQ(GetSignalAction(SIGUSR2).error, EPERM);
  EXPECT_EQ(SetSignalAction(SIGUSR2, {}).error, EPERM);
  EXPECT_EQ(SetSignalHandler(SIGUSR2, &CountSignalInfo, 0, 0).error, EPERM);
  injector.Refuse(Call::kSignalSend, EAGAIN);
  EXPECT_EQ(RaiseInThread(SIGUSR2).error, EAGAIN);
}

}  // namespace
}  // namespace mesh::os
