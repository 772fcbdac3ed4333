// Ways to fork that run no atfork handlers: parent and child live apart all the same, and both go
// on meshing.
//
//   fork_raw WAY [nobody] [denied]
#include <sched.h>
#include <signal.h>
#include <sys/wait.h>

#include "test/programs/sparse.h"
#include "test/programs/tier.h"

static int RunChild(void* unused) {
  (void)unused;
  SparseCheck(1);
  SparseStore(2);
  for (int i = 0; i < 5000; i++) REQUIRE(malloc(Hidden(16 + (size_t)i % 900)) != NULL);
  CompactIfMesh();
  SparseCheck(2);
  for (size_t i = 0; i < kSparseObjects; i += 2 * kSparseOneIn) free(sparse[i]), sparse[i] = NULL;
  pid_t grandchild = fork();
  SparseCheck(2);
  SparseStore(grandchild == 0 ? 3 : 4);
  CompactIfMesh();
  SparseCheck(grandchild == 0 ? 3 : 4);
  int status = 0;
  if (grandchild != 0) REQUIRE(waitpid(grandchild, &status, 0) == grandchild);
  _exit(status == 0 ? 0 : 1);
}

// Two words more than clone3's first version, as the kernel's headers may know it.
static uint64_t clone3_arguments[8] = {[4] = SIGCHLD};

// By an instruction of our own, which nobody can see: for programs without threads, as nobody keeps
// the heap's locks free meanwhile.
static long ForkByInstruction(void) {
#if defined(__x86_64__)
  long result;
  __asm__ volatile("syscall" : "=a"(result) : "a"(SYS_fork) : "rcx", "r11", "memory");
  return result;
#else
  return syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
#endif
}

static long StartChild(const char* way) {
  static char stack[256 << 10] __attribute__((aligned(16)));
  if (strcmp(way, "_Fork") == 0) return _Fork();
  if (strcmp(way, "clone") == 0) return clone(RunChild, stack + sizeof stack, SIGCHLD, NULL);
  if (strcmp(way, "syscall_clone") == 0) return syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
  if (strcmp(way, "syscall_clone3") == 0) {
    return syscall(SYS_clone3, clone3_arguments, sizeof clone3_arguments);
  }
#ifdef SYS_fork
  if (strcmp(way, "syscall_fork") == 0) return syscall(SYS_fork);
#endif
  REQUIRE(strcmp(way, "instruction") == 0);
  return ForkByInstruction();
}

int main(int count, char** words) {
  REQUIRE(count >= 2);
  EnterSituation(count, words);
  SparseMake(1);
  const int has_threads = strcmp(words[1], "instruction") != 0;
  pthread_t mesher;
  if (has_threads) REQUIRE(pthread_create(&mesher, NULL, MeshAllTheWhile, NULL) == 0);
  for (int round = 0; round < 4; round++) {
    CompactIfMesh();
    SparseStore(1);
    long child = StartChild(words[1]);
    REQUIRE(child >= 0);
    if (child == 0) RunChild(NULL);
    SparseStore(10);
    CompactIfMesh();
    SparseCheck(10);
    int status = -1;
    REQUIRE(waitpid((pid_t)child, &status, 0) == child && status == 0);
    SparseCheck(10);
  }
  stop_now = 1;
  if (has_threads) REQUIRE(pthread_join(mesher, NULL) == 0);
  Report();
  return 0;
}
