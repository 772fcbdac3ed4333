// See signals.h.
#include "src/os/signals.h"

#include <errno.h>
#include <sys/syscall.h>
#include <time.h>

#include "src/os/gated_call.h"

// The kernel's flag for "restorer is set"; libc keeps it to itself. asm/signal.h.
#ifndef SA_RESTORER
#define SA_RESTORER 0x04000000
#endif

namespace mesh::os {
namespace {

Result<SignalMask> ChangeMask(int how, SignalMask mask) {
  SignalMask before = 0;
  Status changed =
      GatedStatus(Call::kSignalMask, SYS_rt_sigprocmask, how, &mask, &before, sizeof(SignalMask));
  return {before, changed.error};
}

#if defined(__x86_64__)
// Where the kernel returns to after a handler. Debuggers and unwinders know these very bytes.
extern "C" void mesh_signal_return();
asm(R"(
    .text
    .p2align 4
    .type mesh_signal_return, @function
    .hidden mesh_signal_return
    .globl mesh_signal_return
mesh_signal_return:
    mov $15, %rax
    syscall
    .size mesh_signal_return, . - mesh_signal_return
)");
#endif

}  // namespace

Result<SignalMask> SetSignalMask(SignalMask mask) { return ChangeMask(SIG_SETMASK, mask); }

Result<SignalMask> AddToSignalMask(SignalMask added) { return ChangeMask(SIG_BLOCK, added); }

void RestoreSignalMask(SignalMask mask) {
  constexpr int kTries = 100;
  for (int i = 0; i < kTries && !SetSignalMask(mask).ok(); i++) {
  }
}

Result<SignalMask> PendingSignals() {
  SignalMask pending = 0;
  Status asked = GatedStatus(Call::kSignalMask, SYS_rt_sigpending, &pending, sizeof(SignalMask));
  return {pending, asked.error};
}

FileSizeSignalGuard::FileSizeSignalGuard() : before_(AddToSignalMask(MaskOf(SIGXFSZ))) {
  if (!before_.ok()) return;
  Result<SignalMask> pending = PendingSignals();
  // Unknown counts as pending: the program's own signal is never swallowed.
  was_pending_ = !pending.ok() || (pending.value & MaskOf(SIGXFSZ)) != 0;
}

FileSizeSignalGuard::~FileSizeSignalGuard() {
  if (!before_.ok()) return;
  if (!was_pending_) {
    const SignalMask only = MaskOf(SIGXFSZ);
    const struct timespec now = {};
    static_cast<void>(GatedStatus(Call::kSignalMask, SYS_rt_sigtimedwait, &only, nullptr, &now,
                                  sizeof(SignalMask))
                          .ok());
  }
  RestoreSignalMask(before_.value);
}

Result<SignalAction> GetSignalAction(int signal_number) {
  SignalAction action;
  Status asked = GatedStatus(Call::kSignalAction, SYS_rt_sigaction, signal_number, nullptr, &action,
                             sizeof(SignalMask));
  return {action, asked.error};
}

SignalAction WithRestorer(SignalAction action) {
#if defined(__x86_64__)
  action.flags |= SA_RESTORER;
  action.restorer = reinterpret_cast<void*>(&mesh_signal_return);
#endif
  return action;
}

Status SetSignalAction(int signal_number, const SignalAction& action) {
  return GatedStatus(Call::kSignalAction, SYS_rt_sigaction, signal_number, &action, nullptr,
                     sizeof(SignalMask));
}

Status SetSignalHandler(int signal_number, void (*handler)(int, siginfo_t*, void*), int flags,
                        SignalMask mask) {
  SignalAction action;
  action.handler = reinterpret_cast<void*>(handler);
  action.flags = static_cast<uint64_t>(static_cast<unsigned>(flags)) | SA_SIGINFO;
  action.mask = mask;
  return SetSignalAction(signal_number, WithRestorer(action));
}

Status RaiseInThread(int signal_number) {
  const long process = RawSyscall(SYS_getpid);
  const long thread = RawSyscall(SYS_gettid);
  return GatedStatus(Call::kSignalSend, SYS_tgkill, process, thread, signal_number);
}

Status RequeueInThread(int signal_number, const siginfo_t& info) {
  const long process = RawSyscall(SYS_getpid);
  const long thread = RawSyscall(SYS_gettid);
  return GatedStatus(Call::kSignalSend, SYS_rt_tgsigqueueinfo, process, thread, signal_number,
                     &info);
}

}  // namespace mesh::os
