// libc's syscall(), for all numbers but those that syscall_entry.S keeps.
//
//   futex    a word in the arena gets FUTEX_PRIVATE_FLAG. Without it the kernel keys the futex by
//            the memory behind the address, which a mesh changes: a sleeper would never be woken.
//            Who sleeps and who wakes both come through here; libstdc++'s std::future is one.
//   fork,    are forks that run no atfork handlers.
//   clone, clone3
//   close, close_range, dup2, dup3
//            as in interpose_descriptors.cc.
//   io_uring_setup, io_setup
//            from then on the kernel stores behind all threads' backs.
//   rseq     the area is lent until it is registered no more.
//   unshare, setns, capset, set*id, landlock_restrict_self
//            as in interpose_threads.cc.
//   all      what they lend to the kernel is published (syscall_stores.h).
//
// Room: libmesh. Thread rule: any thread, and inside signal handlers.
#include <linux/close_range.h>
#include <linux/futex.h>
#include <linux/sched.h>
#include <sys/syscall.h>

#include <cerrno>
#include <cstdarg>
#include <cstdint>

#include "src/libmesh/filter_rule.h"
#include "src/libmesh/fork_flags.h"
#include "src/libmesh/futex_rule.h"
#include "src/libmesh/loan.h"
#include "src/libmesh/syscall_stores.h"
#include "src/os/raw_syscall.h"
#include "src/runtime/heap.h"
#include "src/runtime/hooks.h"

// The hidden functions that syscall_entry.S calls.
extern "C" {
// Args: number: clone or clone3, with its first two arguments.
// Returns: 1 if MeshInterposedSyscall() is to make the call, 0 if the kernel can be entered.
int MeshInspectClone(long number, long a, long b);
// syscall() itself. Variadic, so that no argument's place on the caller's stack is ours to write.
long MeshInterposedSyscall(long number, ...);
// Sets errno from the kernel's answer. Returns -1.
long MeshSyscallFailed(long answer);
}

namespace mesh {
namespace {

using Arguments = SyscallArguments;

long EnterKernel(long number, const Arguments& args) {
  long answer = os::RawSyscall(number, args.a, args.b, args.c, args.d, args.e, args.f);
  return os::IsRawError(answer) ? MeshSyscallFailed(answer) : answer;
}

long Publish(long number, const Arguments& args) {
  Loan loan;
  LendForSyscall(number, args, loan);
  loan.Lend();
  return EnterKernel(number, args);
}

// A fork whose child goes on in this frame, on its copy of this stack.
long Fork(long number, const Arguments& args) {
  if (!BeforeForkRaw()) return MeshSyscallFailed(-ENOMEM);
  long child = EnterKernel(number, args);
  if (child == 0) {
    AfterForkChild();
  } else {
    AfterForkParent();
  }
  return child;
}

// The kernel stores there whenever the thread goes on, and ends the program where it cannot.
void LendForRseq(const Arguments& args) {
  constexpr long kUnregister = 1;  // RSEQ_FLAG_UNREGISTER
  const void* area = reinterpret_cast<const void*>(args.a);
  if ((args.c & kUnregister) != 0) {
    EndStanding(area);
  } else {
    LendStanding({static_cast<uintptr_t>(args.a), static_cast<size_t>(args.b)});
  }
}

// What the call closes; `first` above `last` for nothing.
struct Closed {
  unsigned int first = 1;
  unsigned int last = 0;
};

Closed ClosedBy(long number, const Arguments& args) {
  const unsigned int first = static_cast<unsigned int>(args.a);
  const unsigned int second = static_cast<unsigned int>(args.b);
  if (number == SYS_close) return {first, first};
  if (number == SYS_close_range) {
    const bool closes = (static_cast<unsigned int>(args.c) & CLOSE_RANGE_CLOEXEC) == 0;
    return closes ? Closed{first, second} : Closed{};
  }
  return first != second ? Closed{second, second} : Closed{};  // dup2, dup3
}

long Close(long number, const Arguments& args) {
  const Closed closed = ClosedBy(number, args);
  ClosingScope scope(closed.first, closed.last);
  return EnterKernel(number, args);
}

}  // namespace
}  // namespace mesh

int MeshInspectClone(long number, long a, long b) {
  uint64_t flags = static_cast<uint64_t>(a);
  bool has_stack = b != 0;
  if (number == SYS_clone3) {
    const auto* request = reinterpret_cast<const clone_args*>(a);
    if (request == nullptr || static_cast<size_t>(b) < CLONE_ARGS_SIZE_VER0) return 0;
    flags = request->flags;
    has_stack = request->stack != 0;
  }
  mesh::ForkKind kind = mesh::ForkKindOf(flags);
  if (kind == mesh::ForkKind::kSharesMemory) mesh::AddressSpaceShared();
  // A forked child on a stack of its own could not come back to us; it is known by its pid.
  return kind == mesh::ForkKind::kCopiesMemory && !has_stack ? 1 : 0;
}

long MeshSyscallFailed(long answer) {
  errno = static_cast<int>(-answer);
  return -1;
}

long MeshInterposedSyscall(long number, ...) {
  va_list list;
  va_start(list, number);
  mesh::Arguments args;
  for (long* place : {&args.a, &args.b, &args.c, &args.d, &args.e, &args.f}) {
    *place = va_arg(list, long);
  }
  va_end(list);
  switch (number) {
    case SYS_futex:
      if (mesh::MayBecomePrivate(static_cast<int>(args.b),
                                 mesh::Owns(reinterpret_cast<void*>(args.a)),
                                 mesh::Owns(reinterpret_cast<void*>(args.e)))) {
        args.b |= FUTEX_PRIVATE_FLAG;
      }
      break;
    case SYS_clone:
    case SYS_clone3:
#ifdef SYS_fork
    case SYS_fork:
#endif
      return mesh::Fork(number, args);
    case SYS_close:
    case SYS_close_range:
#ifdef SYS_dup2
    case SYS_dup2:
#endif
    case SYS_dup3:
      return mesh::Close(number, args);
    case SYS_unshare:
    case SYS_setns:
    case SYS_capset:
    case SYS_setuid:
    case SYS_setgid:
    case SYS_setresuid:
    case SYS_setresgid:
#ifdef SYS_landlock_restrict_self
    case SYS_landlock_restrict_self:
#endif
      mesh::BeforeSoleThreadCall();
      break;
    case SYS_prctl:
    case SYS_seccomp:
      mesh::NoteFilter(number, args.a, args.b, args.c);
      break;
    case SYS_rseq:
      mesh::LendForRseq(args);
      break;
    case SYS_mprotect:
    case SYS_pkey_mprotect:
      mesh::ProtectionComing({static_cast<uintptr_t>(args.a), static_cast<size_t>(args.b)});
      break;
    case SYS_io_uring_setup:
    case SYS_io_setup:
      mesh::AddressSpaceShared();
      break;
    default:
      break;
  }
  return mesh::IsPublishing() ? mesh::Publish(number, args) : mesh::EnterKernel(number, args);
}
