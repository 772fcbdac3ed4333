// unshare(CLONE_NEWUSER) is refused to a process with a second thread, setns to one that shares
// more than it should: a program of one thread that allocates, meshes and sleeps may do both.
#include <poll.h>
#include <sched.h>
#include <sys/wait.h>

#include "test/programs/sparse.h"

int main(void) {
  SparseMake(1);
  CompactIfMesh();
  // Time to mesh in, before a thread sleeps.
  for (int i = 0; i < 5; i++) poll(NULL, 0, 20);
  int own = open("/proc/self/ns/uts", O_RDONLY);
  if (unshare(CLONE_NEWUSER) != 0) {
    // Some machines refuse it to everybody; without the library that looks the same.
    printf("unshare %d\n", errno);
    return 0;
  }
  printf("unshared\n");
  SparseCheck(1);
  SparseMake(2);
  CompactIfMesh();
  REQUIRE(unshare(CLONE_NEWUTS) == 0);
  int other = open("/proc/self/ns/uts", O_RDONLY);
  REQUIRE(own >= 0 && other >= 0 && setns(other, CLONE_NEWUTS) == 0);
  pid_t child = fork();
  if (child == 0) {
    SparseCheck(2);
    SparseMake(3);
    CompactIfMesh();
    SparseCheck(3);
    _exit(0);
  }
  int status = -1;
  REQUIRE(waitpid(child, &status, 0) == child && status == 0);
  SparseCheck(2);
  return 0;
}
