// SIGUSR1 and SIGUSR2 of children, of fork and of exec, are as in any program: not ignored, not
// blocked, and deadly.
#include <signal.h>
#include <sys/wait.h>

#include "test/programs/check.h"

static void AwaitDeath(pid_t child, int number) {
  int status = -1;
  REQUIRE(waitpid(child, &status, 0) == child);
  REQUIRE(WIFSIGNALED(status) && WTERMSIG(status) == number);
}

static void CheckSignal(int number, const char* script) {
  struct sigaction action;
  REQUIRE(sigaction(number, NULL, &action) == 0 && action.sa_handler == SIG_DFL);
  pid_t child = fork();
  if (child == 0) {
    free(malloc(100));
    CompactIfMesh();
    raise(number);
    _exit(1);
  }
  AwaitDeath(child, number);
  child = vfork();
  if (child == 0) {
    execl("/bin/sh", "sh", "-c", script, (char*)NULL);
    _exit(1);
  }
  AwaitDeath(child, number);
}

int main(void) {
  void* objects[1000];
  for (int i = 0; i < 1000; i++) objects[i] = malloc((size_t)i);
  for (int i = 0; i < 1000; i++) free(objects[i]);
  CompactIfMesh();
  CheckSignal(SIGUSR1, "kill -USR1 $$");
  CheckSignal(SIGUSR2, "kill -USR2 $$");
  sigset_t mask;
  REQUIRE(sigprocmask(SIG_BLOCK, NULL, &mask) == 0 && sigisemptyset(&mask));
  return 0;
}
