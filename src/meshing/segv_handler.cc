// See segv_handler.h.
#include "src/meshing/segv_handler.h"

#include <ucontext.h>

#include <cerrno>

#include "src/base/check.h"
#include "src/base/futex.h"
#include "src/os/process.h"

namespace mesh {
namespace {

// Whom the kernel's handler belongs to.
std::atomic<SegvHandler*> the_handler{nullptr};

// The value of pass_ after which this thread was last sent back to try again. Passes are over at
// even values; 0 is "before the first pass". A reused value only means that one late fault is
// forwarded after 2^31 passes between two faults of a thread.
thread_local uint32_t tried_after_pass = 0;

// Flags that decide where and how the program's handler runs. [S2]
constexpr uint64_t kProgramFlags =
    static_cast<uint64_t>(SA_ONSTACK) | static_cast<uint64_t>(SA_RESTART);

// libc's form of a disposition and the kernel's.
os::SignalAction ToKernel(const struct sigaction& action) {
  os::SignalAction result;
  result.handler = reinterpret_cast<void*>(action.sa_handler);
  result.flags = static_cast<unsigned>(action.sa_flags);
  __builtin_memcpy(&result.mask, &action.sa_mask, sizeof(result.mask));
  return os::WithRestorer(result);
}
struct sigaction ToLibc(const os::SignalAction& action) {
  struct sigaction result = {};
  result.sa_handler = reinterpret_cast<void (*)(int)>(action.handler);
  result.sa_flags = static_cast<int>(action.flags);
  result.sa_restorer = reinterpret_cast<void (*)()>(action.restorer);
  __builtin_memcpy(&result.sa_mask, &action.mask, sizeof(action.mask));
  return result;
}

bool IsFunction(const os::SignalAction& action) {
  return action.handler != reinterpret_cast<void*>(SIG_DFL) &&
         action.handler != reinterpret_cast<void*>(SIG_IGN);
}

}  // namespace

void SegvHandler::LockProgram() {
  // order: acquire; pairs with the release in UnlockProgram().
  while (program_lock_.exchange(1, std::memory_order_acquire) != 0) FutexWait(program_lock_, 1);
}

void SegvHandler::UnlockProgram() {
  // order: release; see LockProgram().
  program_lock_.store(0, std::memory_order_release);
  FutexWake(program_lock_, 1);
}

os::Status SegvHandler::SetKernelAction() const {
  uint64_t flags = SA_NODEFER | (program_.flags & kProgramFlags);
  // An ignored signal interrupts no system call.
  if (program_.handler == reinterpret_cast<void*>(SIG_IGN)) flags |= SA_RESTART;
  return os::SetSignalHandler(SIGSEGV, &OnSignal, static_cast<int>(flags), 0);
}

os::Status SegvHandler::Install() {
  os::BlockAllSignals guard;
  if (!guard.status().ok()) return guard.status();
  LockProgram();
  os::Result<os::SignalAction> current = os::GetSignalAction(SIGSEGV);
  os::Status done = {current.error};
  if (current.ok() && current.value.handler != reinterpret_cast<void*>(&OnSignal)) {
    program_ = current.value;
    // order: release; pairs with the acquire in OnSignal().
    the_handler.store(this, std::memory_order_release);
    done = SetKernelAction();
    if (done.ok()) UnmaskLocked();
  }
  // order: relaxed; see is_installed().
  if (done.ok()) installed_.store(true, std::memory_order_relaxed);
  UnlockProgram();
  return done;
}

void SegvHandler::Uninstall() {
  os::BlockAllSignals guard;
  LockProgram();
  os::Result<os::SignalAction> current = os::GetSignalAction(SIGSEGV);
  if (is_installed() && current.ok() &&
      current.value.handler == reinterpret_cast<void*>(&OnSignal)) {
    static_cast<void>(os::SetSignalAction(SIGSEGV, program_).ok());
  }
  if (is_installed()) RestoreMasksLocked();
  // order: relaxed; see is_installed().
  installed_.store(false, std::memory_order_relaxed);
  UnlockProgram();
}

os::Result<os::SignalAction> SegvHandler::Exchange(const os::SignalAction* wanted) {
  os::BlockAllSignals guard;
  if (!guard.status().ok()) return {{}, guard.status().error};
  LockProgram();
  os::Result<os::SignalAction> before = ExchangeLocked(wanted);
  UnlockProgram();
  return before;
}

os::Result<os::SignalAction> SegvHandler::ExchangeLocked(const os::SignalAction* wanted) {
  os::Result<os::SignalAction> before = {program_, 0};
  if (!is_installed()) {
    before = os::GetSignalAction(SIGSEGV);
    if (before.ok() && wanted != nullptr)
      before.error = os::SetSignalAction(SIGSEGV, *wanted).error;
  } else if (wanted != nullptr) {
    program_ = *wanted;
    before.error = SetKernelAction().error;
    if (!before.ok()) program_ = before.value;
  }
  return before;
}

// A handler that runs with SIGSEGV blocked dies of a protected page: the masks that have it lose
// it.
void SegvHandler::UnmaskLocked() {
  for (int number = 1; number < NSIG; number++) {
    os::Result<os::SignalAction> action = os::GetSignalAction(number);
    if (number == SIGSEGV || !action.ok() || !IsFunction(action.value)) continue;
    if ((action.value.mask & os::MaskOf(SIGSEGV)) == 0) continue;
    action.value.mask &= ~os::MaskOf(SIGSEGV);
    if (os::SetSignalAction(number, action.value).ok()) masking_ |= os::MaskOf(number);
  }
}

void SegvHandler::RestoreMasksLocked() {
  for (int number = 1; number < NSIG; number++) {
    if ((masking_ & os::MaskOf(number)) == 0) continue;
    os::Result<os::SignalAction> action = os::GetSignalAction(number);
    action.value.mask |= os::MaskOf(SIGSEGV);
    if (action.ok()) static_cast<void>(os::SetSignalAction(number, action.value).ok());
  }
  masking_ = 0;
}

// Everything is done on copies: while the signals are blocked, the program's own structures may be
// in a page that is protected.
int SegvHandler::Sigaction(SigactionFunction* libcs, int signal_number,
                           const struct sigaction* wanted, struct sigaction* before) {
  struct sigaction given = {};
  struct sigaction found = {};
  if (wanted != nullptr) given = *wanted;
  const struct sigaction* change = wanted != nullptr ? &given : nullptr;
  int result = 0;
  {
    os::BlockAllSignals guard;
    if (!guard.status().ok()) return libcs(signal_number, wanted, before);
    LockProgram();
    if (signal_number == SIGSEGV && is_installed()) {
      os::SignalAction action = ToKernel(given);
      os::Result<os::SignalAction> was = ExchangeLocked(change != nullptr ? &action : nullptr);
      found = ToLibc(was.value);
      if (!was.ok()) {
        errno = was.error;
        result = -1;
      }
    } else {
      result = ExchangeOtherLocked(libcs, signal_number, change, &found);
    }
    UnlockProgram();
  }
  if (result == 0 && before != nullptr) *before = found;
  return result;
}

int SegvHandler::ExchangeOtherLocked(SigactionFunction* libcs, int signal_number,
                                     const struct sigaction* wanted, struct sigaction* before) {
  struct sigaction changed;
  bool masks = false;
  if (wanted != nullptr && is_installed()) {
    changed = *wanted;
    masks = sigismember(&changed.sa_mask, SIGSEGV) == 1;
    sigdelset(&changed.sa_mask, SIGSEGV);
    wanted = &changed;
  }
  const int result = libcs(signal_number, wanted, before);
  if (result != 0) return result;
  const os::SignalMask bit = os::MaskOf(signal_number);
  if ((masking_ & bit) != 0) sigaddset(&before->sa_mask, SIGSEGV);
  if (wanted != nullptr) masking_ = masks ? masking_ | bit : masking_ & ~bit;
  return 0;
}

void SegvHandler::AfterForkInChild() {
  // order: relaxed; the child has one thread.
  program_lock_.store(0, std::memory_order_relaxed);
}

bool SegvHandler::BeginPass() {
  MESH_DCHECK(is_installed());
  // order: seq_cst; pairs with the one in EnterHandlerMask() and AwaitNoPass(). Either we see the
  // thread's mask, or it sees that a pass is on.
  pass_.fetch_add(1, std::memory_order_seq_cst);
  os::Result<bool> blocked = os::AnyOtherThreadBlocks(SIGSEGV);
  if (blocked.ok() && !blocked.value) return true;
  EndPass();
  return false;
}

void SegvHandler::EndPass() {
  // order: release; pairs with the acquire in ShouldTryAgain().
  pass_.fetch_add(1, std::memory_order_release);
  FutexWake(pass_, INT32_MAX);
}

void SegvHandler::AwaitNoPass() {
  // order: seq_cst; see BeginPass().
  const uint32_t pass = pass_.load(std::memory_order_seq_cst);
  while ((pass & 1) != 0 && pass_.load(std::memory_order_acquire) == pass) FutexWait(pass_, pass);
}

bool SegvHandler::ShouldTryAgain(const siginfo_t& info) {
  if (info.si_code != SEGV_ACCERR) return false;
  // order: acquire; pairs with the release in EndPass(): the page is as the mesher left it.
  uint32_t pass = pass_.load(std::memory_order_acquire);
  if ((pass & 1) != 0) {
    AwaitNoPass();
    pass++;
  } else if (tried_after_pass == pass) {
    return false;
  }
  tried_after_pass = pass;
  return true;
}

os::SignalAction SegvHandler::TakeProgramAction() {
  os::BlockAllSignals guard;
  LockProgram();
  os::SignalAction action = program_;
  if (IsFunction(action) && (action.flags & static_cast<unsigned>(SA_RESETHAND)) != 0) {
    program_.handler = reinterpret_cast<void*>(SIG_DFL);
  }
  UnlockProgram();
  return action;
}

// Takes the mask that the kernel would have given the program's handler, at a moment when no pass
// is on: a thread that blocks SIGSEGV would die of a protected page.
void SegvHandler::EnterHandlerMask(os::SignalMask mask) {
  while (true) {
    os::Result<os::SignalMask> before = os::SetSignalMask(mask);
    // order: seq_cst; see BeginPass().
    const bool pass_is_on = (pass_.load(std::memory_order_seq_cst) & 1) != 0;
    if (!pass_is_on || !before.ok() || (mask & os::MaskOf(SIGSEGV)) == 0) return;
    os::RestoreSignalMask(before.value);
    AwaitNoPass();
  }
}

// Ends the process as the kernel would have: by the default action, with the same siginfo.
void SegvHandler::Die(int signal_number, const siginfo_t& info) {
  static_cast<void>(os::SetSignalAction(signal_number, {}).ok());
  // A fault comes again by itself when we return. A signal that was sent does not.
  if (info.si_code <= 0) static_cast<void>(os::RequeueInThread(signal_number, info).ok());
}

void SegvHandler::Forward(int signal_number, siginfo_t* info, void* context) {
  const os::SignalAction action = TakeProgramAction();
  const bool was_sent = info->si_code <= 0;
  if (!IsFunction(action)) {
    // The kernel lets a program ignore a signal that was sent, never a fault.
    const bool ignored = action.handler == reinterpret_cast<void*>(SIG_IGN);
    if (!(ignored && was_sent)) Die(signal_number, *info);
    return;
  }
  os::SignalMask mask;
  __builtin_memcpy(&mask, &static_cast<ucontext_t*>(context)->uc_sigmask, sizeof(mask));
  mask |= action.mask;
  if ((action.flags & SA_NODEFER) == 0) mask |= os::MaskOf(signal_number);
  EnterHandlerMask(mask);
  // On return the kernel puts back the mask, and the registers that the handler may have changed.
  if ((action.flags & SA_SIGINFO) != 0) {
    reinterpret_cast<void (*)(int, siginfo_t*, void*)>(action.handler)(signal_number, info,
                                                                       context);
  } else {
    reinterpret_cast<void (*)(int)>(action.handler)(signal_number);
  }
}

void SegvHandler::OnSignal(int signal_number, siginfo_t* info, void* context) {
  // order: acquire; pairs with the release in Install().
  SegvHandler* self = the_handler.load(std::memory_order_acquire);
  if (!self->ShouldTryAgain(*info)) self->Forward(signal_number, info, context);
}

}  // namespace mesh
