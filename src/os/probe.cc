// See probe.h.
#include "src/os/probe.h"

#include <errno.h>
#include <linux/close_range.h>
#include <linux/sched.h>
#include <linux/wait.h>
#include <sys/syscall.h>
#include <sys/utsname.h>

#include "src/base/units.h"
#include "src/os/gated_call.h"
#include "src/os/memory.h"
#include "src/os/proc_text.h"
#include "src/os/process.h"
#include "src/os/signals.h"

namespace {

struct Attempt {
  int (*function)(void*);
  void* argument;
  int result;
};

}  // namespace

namespace mesh::os {
namespace {

// Gives the child an empty table of descriptors, without its ever having had a copy of its
// parent's; or with one, where a filter refuses that.
bool LeaveDescriptors() {
  return !IsRawError(RawSyscall(SYS_close_range, 0, ~0u, CLOSE_RANGE_UNSHARE)) ||
         !IsRawError(RawSyscall(SYS_unshare, CLONE_FILES));
}

}  // namespace
}  // namespace mesh::os

// The child's first function, called from assembly and hence with a name that assembly can spell.
extern "C" __attribute__((used, visibility("hidden"))) void mesh_run_attempt(void* request) {
  auto* attempt = static_cast<Attempt*>(request);
  if (mesh::os::LeaveDescriptors()) attempt->result = attempt->function(attempt->argument);
}

namespace mesh::os {
namespace {

// vfork(2) with a function to run: the child works below our stack pointer while we are suspended,
// calls mesh_run_attempt(attempt) and exits. It never returns into this frame.
// Returns: the child's id when it is gone, or a negated errno value.
__attribute__((noinline)) long CloneAndRun(Attempt* attempt) {
  // No exit signal. The table of descriptors is ours until the child has one of its own: a copy
  // would keep pipes and sockets open that another thread closes meanwhile.
  constexpr long kFlags = CLONE_VM | CLONE_VFORK | CLONE_FILES;
#if defined(__x86_64__)
  long result = SYS_clone;
  register long r10 asm("r10") = 0;
  register long r8 asm("r8") = 0;
  register long r12 asm("r12");
  register Attempt* r13 asm("r13") = attempt;
  asm volatile(
      "mov %%rsp, %%r12\n\t"
      "sub $128, %%rsp\n\t"  // the red zone below us stays ours
      "and $-16, %%rsp\n\t"
      "syscall\n\t"
      "test %%rax, %%rax\n\t"
      "jnz 1f\n\t"
      "mov %%r13, %%rdi\n\t"
      "call mesh_run_attempt\n\t"
      "xor %%edi, %%edi\n\t"
      "mov %[exit], %%eax\n\t"
      "syscall\n\t"
      "hlt\n"
      "1:\n\t"
      "mov %%r12, %%rsp"
      : "+a"(result), "=r"(r12)
      : "D"(kFlags), "S"(0L), "d"(0L), "r"(r10), "r"(r8), "r"(r13), [exit] "i"(SYS_exit)
      : "rcx", "r11", "memory", "cc");
  return result;
#elif defined(__aarch64__)
  register long x8 asm("x8") = SYS_clone;
  register long x0 asm("x0") = kFlags;
  register long x1 asm("x1") = 0;
  register long x2 asm("x2") = 0;
  register long x3 asm("x3") = 0;
  register long x4 asm("x4") = 0;
  register Attempt* x19 asm("x19") = attempt;
  asm volatile(
      "svc #0\n\t"
      "cbnz x0, 1f\n\t"
      "mov x0, x19\n\t"
      "bl mesh_run_attempt\n\t"
      "mov x0, #0\n\t"
      "mov x8, %[exit]\n\t"
      "svc #0\n"
      "1:"
      : "+r"(x0)
      : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x19), [exit] "i"(SYS_exit)
      : "x30", "memory", "cc");
  return x0;
#endif
}

// Since 5.16 the dump of a killed task takes its own thread group alone (kernel/exit.c,
// fs/coredump.c); before, all who share the memory.
bool KillStopsAtThreadGroup() {
  struct utsname names;
  if (!GatedStatus(Call::kUsage, SYS_uname, &names).ok()) return false;
  std::string_view release(names.release);
  Result<uint64_t> major = ParseNumber(release);
  const size_t dot = release.find('.');
  if (!major.ok() || dot == std::string_view::npos) return false;
  release.remove_prefix(dot + 1);
  Result<uint64_t> minor = ParseNumber(release);
  return major.value > 5 || (major.value == 5 && minor.ok() && minor.value >= 16);
}

// Waits for one child of ours that ended. Returns its status word as wait(2) has it.
Result<int> Reap(long child) {
  int status = 0;
  Result<long> reaped;
  do {
    reaped = GatedCall(Call::kClone, SYS_wait4, child, &status, __WALL, nullptr);
  } while (reaped.error == EINTR);
  return {status, reaped.error};
}

}  // namespace

bool UnusualCallsMayKill() {
  Result<int> mode = SeccompMode();
  return !mode.ok() || mode.value != 0;
}

Result<int> ProbeInChild(int (*attempt)(void*), void* argument) {
  if (!KillStopsAtThreadGroup()) return {0, ENOSYS};
  if (int error = InjectedFault(Call::kClone); error != 0) return {0, error};
  // The child would run this program's handlers on our stack.
  BlockAllSignals guard;
  if (!guard.status().ok()) return {0, guard.status().error};
  constexpr int kNotFinished = -1;
  Attempt request{attempt, argument, kNotFinished};
  const long child = CloneAndRun(&request);
  if (IsRawError(child)) return {0, static_cast<int>(-child)};
  static_cast<void>(Reap(child).ok());
  // The memory is shared: the result tells more than an exit status, which a program that ignores
  // SIGCHLD or reaps everything may have taken.
  const int result = *const_cast<volatile int*>(&request.result);
  if (result < 0) return {0, ECHILD};
  return {result, 0};
}

bool MayAskResidency() {
  if (!UnusualCallsMayKill()) return true;
  auto ask = [](void* here) {
    unsigned char answer = 0;
    const uintptr_t page = reinterpret_cast<uintptr_t>(here) / kPageSize * kPageSize;
    return Residency(page, kPageSize, &answer).ok() ? 0 : -1;
  };
  int here = 0;
  return ProbeInChild(ask, &here).ok();
}

}  // namespace mesh::os
