// See syscall_stores.h.
#include "src/libmesh/syscall_stores.h"

#include <linux/futex.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>

namespace mesh {
namespace {

void* Pointer(long argument) { return reinterpret_cast<void*>(argument); }
size_t Size(long argument) { return static_cast<size_t>(argument); }
const struct iovec* Parts(long argument) { return reinterpret_cast<const struct iovec*>(argument); }

// Calls that programs make by number, often, and that store nothing.
bool StoresNothing(long number) {
  switch (number) {
    case SYS_getpid:
    case SYS_gettid:
    case SYS_tgkill:
    case SYS_kill:
    case SYS_sched_yield:
    case SYS_write:
    case SYS_pwrite64:
    case SYS_writev:
    case SYS_sendto:
    case SYS_sendmsg:
    case SYS_close:
    case SYS_close_range:
    case SYS_dup3:
    case SYS_openat:
    case SYS_lseek:
    case SYS_fsync:
    case SYS_fdatasync:
    case SYS_ftruncate:
    case SYS_fallocate:
    case SYS_mmap:
    case SYS_munmap:
    case SYS_mprotect:
    case SYS_madvise:
    case SYS_membarrier:
    case SYS_memfd_create:
    case SYS_eventfd2:
    case SYS_epoll_create1:
    case SYS_epoll_ctl:
    case SYS_perf_event_open:
    case SYS_sched_setaffinity:
    case SYS_io_uring_enter:
    case SYS_io_uring_register:
    case SYS_execve:
    case SYS_execveat:
    case SYS_exit:
    case SYS_exit_group:
#ifdef SYS_open
    case SYS_open:
    case SYS_dup2:
#endif
      return true;
    default:
      return false;
  }
}

// The kernel writes the word of the futexes that it hands over itself.
void LendForFutex(const SyscallArguments& args, Loan& loan) {
  switch (args.b & FUTEX_CMD_MASK) {
    case FUTEX_WAIT:
    case FUTEX_WAKE:
    case FUTEX_REQUEUE:
    case FUTEX_CMP_REQUEUE:
    case FUTEX_WAIT_BITSET:
    case FUTEX_WAKE_BITSET:
      break;
    default:
      loan.Bytes(Pointer(args.a), sizeof(uint32_t)).Bytes(Pointer(args.e), sizeof(uint32_t));
      break;
  }
}

// Returns false when the number is not of these.
bool LendForTransfer(long number, const SyscallArguments& args, Loan& loan) {
  switch (number) {
    case SYS_read:
    case SYS_pread64:
    case SYS_getdents64:
      loan.Bytes(Pointer(args.b), Size(args.c));
      return true;
    case SYS_recvfrom:
      loan.Bytes(Pointer(args.b), Size(args.c)).Unknown(Pointer(args.e)).Unknown(Pointer(args.f));
      return true;
    case SYS_readv:
    case SYS_preadv:
    case SYS_preadv2:
    case SYS_process_vm_readv:
      loan.Parts(Parts(args.b), Size(args.c));
      return true;
    case SYS_recvmsg:
      loan.Message(static_cast<const struct msghdr*>(Pointer(args.b)));
      return true;
    case SYS_getrandom:
      loan.Bytes(Pointer(args.a), Size(args.b));
      return true;
    case SYS_accept:
    case SYS_accept4:
      loan.Unknown(Pointer(args.b)).Unknown(Pointer(args.c));
      return true;
    default:
      return false;
  }
}

bool LendForQuestion(long number, const SyscallArguments& args, Loan& loan) {
  switch (number) {
    case SYS_clock_gettime:
    case SYS_clock_getres:
    case SYS_fstat:
#ifdef SYS_stat
    case SYS_stat:
    case SYS_lstat:
#endif
      loan.Unknown(Pointer(args.b));
      return true;
    case SYS_gettimeofday:
    case SYS_getcpu:
      loan.Unknown(Pointer(args.a)).Unknown(Pointer(args.b));
      return true;
    case SYS_newfstatat:
    case SYS_readlinkat:
    case SYS_sched_getaffinity:
      loan.Unknown(Pointer(args.c));
      return true;
    case SYS_statx:
      loan.Unknown(Pointer(args.e));
      return true;
    case SYS_wait4:
      loan.Unknown(Pointer(args.b)).Unknown(Pointer(args.d));
      return true;
    case SYS_waitid:
      loan.Unknown(Pointer(args.c)).Unknown(Pointer(args.e));
      return true;
    case SYS_clock_nanosleep:
      loan.Unknown(Pointer(args.d));
      return true;
    case SYS_nanosleep:
    case SYS_epoll_pwait:
#ifdef SYS_epoll_wait
    case SYS_epoll_wait:
#endif
      loan.Unknown(Pointer(args.b));
      return true;
#ifdef SYS_poll
    case SYS_poll:
#endif
    case SYS_ppoll:
      loan.Unknown(Pointer(args.a)).Unknown(Pointer(args.c));
      return true;
    default:
      return false;
  }
}

}  // namespace

void LendForSyscall(long number, const SyscallArguments& args, Loan& loan) {
  if (number == SYS_futex) return LendForFutex(args, loan);
  if (StoresNothing(number) || LendForTransfer(number, args, loan) ||
      LendForQuestion(number, args, loan)) {
    return;
  }
  loan.Everything();
}

}  // namespace mesh
