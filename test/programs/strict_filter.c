// Seccomp filters that kill for calls which they do not know: the program lives, and is meshed
// where the filter leaves a way.
//
//   strict_filter service   what service managers and container engines refuse kills: it is meshed
//   strict_filter sandbox   little more than a plain malloc needs is allowed, all else kills
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "test/programs/sparse.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))

static const int kRefusedToServices[] = {
    SYS_userfaultfd, SYS_bpf,   SYS_perf_event_open,   SYS_io_uring_setup,    SYS_ptrace,
    SYS_kcmp,        SYS_setns, SYS_process_vm_readv,  SYS_process_vm_writev, SYS_add_key,
    SYS_keyctl,      SYS_mount, SYS_open_by_handle_at, SYS_init_module,       SYS_reboot,
};

// OpenSSH's sandbox-seccomp-filter.c before authentication, and futexes.
static const int kAllowedInSandbox[] = {
    SYS_brk,
    SYS_clock_gettime,
    SYS_close,
    SYS_exit,
    SYS_exit_group,
    SYS_futex,
    SYS_getpid,
    SYS_gettid,
    SYS_madvise,
    SYS_mmap,
    SYS_mprotect,
    SYS_mremap,
    SYS_munmap,
    SYS_nanosleep,
    SYS_clock_nanosleep,
    SYS_ppoll,
    SYS_read,
    SYS_write,
    SYS_rt_sigprocmask,
    SYS_rt_sigreturn,
    SYS_getrandom,
    SYS_sched_yield,
    SYS_rseq,
    SYS_set_robust_list,
};

// Numbers in `list` get `listed`, all others `other`.
static void Install(const int* list, size_t count, uint32_t listed, uint32_t other) {
  static struct sock_filter rules[2 * 64 + 2];
  size_t used = 0;
  rules[used++] =
      (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
  for (size_t i = 0; i < count; i++) {
    rules[used++] =
        (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)list[i], 0, 1);
    rules[used++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, listed);
  }
  rules[used++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, other);
  struct sock_fprog program = {(unsigned short)used, rules};
  REQUIRE(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
  REQUIRE(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0);
}

static int stop_now;
static void* ChurnAllTheWhile(void* unused) {
  while (!__atomic_load_n(&stop_now, __ATOMIC_RELAXED)) {
    void* some[200];
    for (size_t i = 0; i < COUNT(some); i++) some[i] = malloc(SparseSize(i));
    for (size_t i = 0; i < COUNT(some); i++) free(some[i]);
  }
  return unused;
}

static void RunAsService(void) {
  pthread_t thread;
  REQUIRE(pthread_create(&thread, NULL, ChurnAllTheWhile, NULL) == 0);
  RequireMeshing(20, 1);
  Install(kRefusedToServices, COUNT(kRefusedToServices), SECCOMP_RET_KILL_PROCESS,
          SECCOMP_RET_ALLOW);
  RequireMeshing(20, 2);
  __atomic_store_n(&stop_now, 1, __ATOMIC_RELAXED);
  REQUIRE(pthread_join(thread, NULL) == 0);
}

static void RunInSandbox(void) {
  pthread_t thread;
  REQUIRE(pthread_create(&thread, NULL, ChurnAllTheWhile, NULL) == 0);
  SparseMake(1);
  CompactIfMesh();
  Install(kAllowedInSandbox, COUNT(kAllowedInSandbox), SECCOMP_RET_ALLOW, SECCOMP_RET_KILL_PROCESS);
  const struct timespec nap = {0, 5000000};
  for (unsigned mark = 2; mark < 30; mark++) {
    SparseCheck(mark - 1);
    SparseMake(mark);
    void* large = malloc(Hidden((size_t)8 << 20));
    REQUIRE(large != NULL);
    memset(large, 1, (size_t)8 << 20);
    free(large);
    CompactIfMesh();
    nanosleep(&nap, NULL);
  }
  SparseCheck(29);
  // No exit(): what a C library does there is not the question.
  _exit(0);
}

int main(int count, char** words) {
  REQUIRE(count == 2);
  if (strcmp(words[1], "service") == 0) RunAsService();
  if (strcmp(words[1], "sandbox") == 0) RunInSandbox();
  return 0;
}
