// SegvHandler: the SIGSEGV handler of the barrier's last tier, which programs must not notice.
//
// A store into a page that the mesher has made read-only waits here until the pass is over, and is
// tried again. Every other fault goes to the program's own disposition, as if we were not there.
//
// Once installed it stays: a thread may have faulted while a page was protected and find its signal
// only after the pass. Such a late fault cannot be told from a true one by looking, so each thread
// may try once more after each pass; a true fault comes back and is forwarded then.
//
// A thread that blocks SIGSEGV dies of a fault, whatever handler there is. Hence BeginPass()
// refuses while a thread does, and what the program sees of us is nothing if the front's interposed
//  - sigaction and signal go through Sigaction();
//  - sigprocmask and pthread_sigmask call AwaitNoPass() after they have blocked SIGSEGV.
// Room: meshing. Thread rule: Install, BeginPass and EndPass under the mesh lock; Exchange by any
// thread. One object in a process, since a signal has no argument. Allocates nothing.
//
// [S1] While pass_ is odd, pages may be protected; no fault with SEGV_ACCERR reaches the program.
// [S2] While installed, the kernel's flags are the program's own (alternate stack, restart), so
//      that the program's handler runs where the kernel would have run it.
// [S3] While installed, no mask that Sigaction() knows of has the kernel hold SIGSEGV back.
#pragma once

#include <signal.h>

#include <atomic>
#include <cstdint>

#include "src/os/result.h"
#include "src/os/signals.h"

namespace mesh {

class SegvHandler {
 public:
  constexpr SegvHandler() = default;
  SegvHandler(const SegvHandler&) = delete;
  SegvHandler& operator=(const SegvHandler&) = delete;

  // Takes SIGSEGV over, if it is not ours already (the program may have taken it back by a raw
  // system call). Errors: those of rt_sigaction; nothing has changed then.
  os::Status Install();

  // Gives SIGSEGV back to the program. Only when no thread can be in a protected page any more: at
  // exit, or in tests.
  void Uninstall();

  // From here on, or until here, pages are protected. Installed only.
  // Returns: false when a thread blocks SIGSEGV, or that cannot be found out; no pass is on then.
  bool BeginPass();
  void EndPass();

  // Returns when no pass is on, or the one that was on has ended.
  void AwaitNoPass();

  // The program's sigaction(SIGSEGV): hands out its present disposition and sets another, if not
  // null. Blocks all signals meanwhile, so that it may be called from a handler.
  os::Result<os::SignalAction> Exchange(const os::SignalAction* wanted);

  // libc's sigaction().
  using SigactionFunction = int(int, const struct sigaction*, struct sigaction*);
  // The program's sigaction() for any signal: as `libcs` would do it if we were not there. [S3]
  int Sigaction(SigactionFunction* libcs, int signal_number, const struct sigaction* wanted,
                struct sigaction* before);

  // In a fork's child: what another thread was about to do is forgotten.
  void AfterForkInChild();

  bool is_installed() const {
    // order: relaxed; a hint for the interposed sigaction, which asks Exchange() anyway.
    return installed_.load(std::memory_order_relaxed);
  }

 private:
  static void OnSignal(int signal_number, siginfo_t* info, void* context);

  os::Status SetKernelAction() const;
  os::Result<os::SignalAction> ExchangeLocked(const os::SignalAction* wanted);
  int ExchangeOtherLocked(SigactionFunction* libcs, int signal_number,
                          const struct sigaction* wanted, struct sigaction* before);
  void UnmaskLocked();
  void RestoreMasksLocked();
  bool ShouldTryAgain(const siginfo_t& info);
  void Forward(int signal_number, siginfo_t* info, void* context);
  void EnterHandlerMask(os::SignalMask mask);
  static void Die(int signal_number, const siginfo_t& info);
  os::SignalAction TakeProgramAction();
  void LockProgram();
  void UnlockProgram();

  std::atomic<bool> installed_{false};
  std::atomic<uint32_t> pass_{0};  // odd: a pass is on; a futex
  // Not a Mutex: handlers take it (with all signals blocked), on top of whatever lock is held.
  std::atomic<uint32_t> program_lock_{0};
  os::SignalAction program_;  // what the program believes to have set; under program_lock_
  // Signals whose sa_mask has SIGSEGV in it for the program, not for the kernel; likewise.
  os::SignalMask masking_ = 0;
};

}  // namespace mesh
