// The child of a fork is held back by a debugger before its first instruction: the parent returns
// from fork(), stores, allocates, meshes and ends all the same, and waits for no copy to be made.
//
//   fork_parent_goes_on [nobody] [denied]
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/wait.h>

#include "test/programs/sparse.h"
#include "test/programs/tier.h"

static void RunParent(void) {
  REQUIRE(ptrace(PTRACE_TRACEME, 0, NULL, NULL) == 0);
  REQUIRE(raise(SIGSTOP) == 0);
  pthread_t mesher;
  SparseMake(1);
  REQUIRE(pthread_create(&mesher, NULL, MeshAllTheWhile, NULL) == 0);
  CompactIfMesh();
  REQUIRE(fork() > 0);
  SparseStore(2);
  CompactIfMesh();
  SparseCheck(2);
  stop_now = 1;
  REQUIRE(pthread_join(mesher, NULL) == 0);
  Report();
  exit(0);
}

// Lets `parent` run to its end, and gives it the signals that it gets. Whoever else stops here is
// its child, which stays where it is.
static int AwaitEnd(pid_t parent, pid_t* child) {
  for (;;) {
    int status;
    pid_t stopped = waitpid(-1, &status, __WALL);
    REQUIRE(stopped > 0);
    if (stopped != parent) {
      REQUIRE(WIFSTOPPED(status) && *child == 0);
      *child = stopped;
      continue;
    }
    if (!WIFSTOPPED(status)) return status;
    int is_event = status >> 16 != 0 || WSTOPSIG(status) == SIGSTOP;
    long number = is_event ? 0 : WSTOPSIG(status);
    REQUIRE(ptrace(PTRACE_CONT, parent, NULL, (void*)number) == 0);
  }
}

int main(int count, char** words) {
  EnterSituation(count, words);
  pid_t parent = fork();
  if (parent == 0) RunParent();
  int status;
  REQUIRE(waitpid(parent, &status, 0) == parent && WIFSTOPPED(status));
  long options = PTRACE_O_TRACEFORK | PTRACE_O_EXITKILL;
  REQUIRE(ptrace(PTRACE_SETOPTIONS, parent, NULL, (void*)options) == 0);
  REQUIRE(ptrace(PTRACE_CONT, parent, NULL, NULL) == 0);
  pid_t child = 0;
  status = AwaitEnd(parent, &child);
  REQUIRE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
  if (child == 0) REQUIRE((child = waitpid(-1, &status, __WALL)) > 0 && WIFSTOPPED(status));
  REQUIRE(kill(child, SIGKILL) == 0);
  return 0;
}
