// Signals kept away from a thread while it meshes, and the one signal that a file size can raise.
//
// By raw system call: libc's sigprocmask refuses to block the two signals that it uses itself
// (pthread_cancel, setuid in all threads), and those run handlers too.
// Room: os. Thread rule: each guard belongs to the thread that made it. Allocates nothing.
#pragma once

#include <signal.h>

#include <cstddef>
#include <cstdint>

#include "src/os/result.h"

namespace mesh::os {

// The kernel's signal set: signal n is bit n - 1.
using SignalMask = uint64_t;

constexpr SignalMask MaskOf(int signal_number) { return SignalMask{1} << (signal_number - 1); }
inline constexpr SignalMask kAllSignals = ~SignalMask{0};

// Replaces the calling thread's mask and returns the one before.
Result<SignalMask> SetSignalMask(SignalMask mask);

// Adds to the calling thread's mask and returns the one before.
Result<SignalMask> AddToSignalMask(SignalMask added);

// Puts back a mask that SetSignalMask() returned. The kernel has no reason to refuse; should it, it
// is asked again, since the thread would go deaf.
void RestoreSignalMask(SignalMask mask);

// Signals that wait for the calling thread or its process.
Result<SignalMask> PendingSignals();

// Blocks every signal of the calling thread while it lives. SIGKILL and SIGSTOP cannot be blocked;
// a fault of this thread ends the process meanwhile.
class BlockAllSignals {
 public:
  BlockAllSignals() : before_(SetSignalMask(kAllSignals)) {}
  ~BlockAllSignals() {
    if (before_.ok()) RestoreSignalMask(before_.value);
  }
  BlockAllSignals(const BlockAllSignals&) = delete;
  BlockAllSignals& operator=(const BlockAllSignals&) = delete;

  // Not ok: nothing is blocked.
  Status status() const { return {before_.error}; }
  // The mask that will be restored.
  SignalMask before() const { return before_.value; }

 private:
  Result<SignalMask> before_;
};

// Swallows a SIGXFSZ that the calling thread raises while the guard lives, and only that one.
class FileSizeSignalGuard {
 public:
  FileSizeSignalGuard();
  ~FileSizeSignalGuard();
  FileSizeSignalGuard(const FileSizeSignalGuard&) = delete;
  FileSizeSignalGuard& operator=(const FileSizeSignalGuard&) = delete;

  Status status() const { return {before_.error}; }

 private:
  Result<SignalMask> before_;
  bool was_pending_ = false;
};

// A disposition as the kernel keeps it (rt_sigaction), restorer included.
struct SignalAction {
  void* handler = nullptr;  // SIG_DFL, SIG_IGN or a function, as SA_SIGINFO in `flags` says
  uint64_t flags = 0;
  void* restorer = nullptr;
  SignalMask mask = 0;
};

// Reads the disposition of a signal.
Result<SignalAction> GetSignalAction(int signal_number);

// The same with the return path from a handler that x86-64 needs and libc puts in.
SignalAction WithRestorer(SignalAction action);

// Sets it. On x86-64 a handler needs SA_RESTORER and a restorer: WithRestorer().
Status SetSignalAction(int signal_number, const SignalAction& action);

// Installs a handler of three arguments with `flags` (SA_SIGINFO is added).
Status SetSignalHandler(int signal_number, void (*handler)(int, siginfo_t*, void*), int flags,
                        SignalMask mask);

// Sends a signal to the calling thread alone.
Status RaiseInThread(int signal_number);

// The same with the siginfo of a signal that the thread has received.
Status RequeueInThread(int signal_number, const siginfo_t& info);

}  // namespace mesh::os
