// posix_spawn, vfork with exec, system and popen, while other threads allocate: no hang, the right
// exit statuses, and the children (which inherit LD_PRELOAD) say nothing.
#include <pthread.h>
#include <spawn.h>
#include <sys/wait.h>

#include "test/programs/check.h"

enum { kRounds = 20, kThreads = 3 };

static int stop;
static char* const kArguments[] = {"sh", "-c", "exit 5", NULL};

static void* Busy(void* unused) {
  while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
    char* text = strdup("some text that takes a small object");
    text = realloc(text, 3000);
    free(text);
  }
  return unused;
}

static void AwaitFive(pid_t child) {
  int status = -1;
  REQUIRE(waitpid(child, &status, 0) == child);
  REQUIRE(WIFEXITED(status) && WEXITSTATUS(status) == 5);
}

int main(void) {
  pthread_t threads[kThreads];
  for (int i = 0; i < kThreads; ++i) REQUIRE(pthread_create(&threads[i], NULL, Busy, NULL) == 0);
  for (int round = 0; round < kRounds; ++round) {
    pid_t child;
    REQUIRE(posix_spawn(&child, "/bin/sh", NULL, NULL, kArguments, environ) == 0);
    AwaitFive(child);
    child = vfork();
    if (child == 0) {
      execv("/bin/sh", kArguments);
      _exit(1);
    }
    AwaitFive(child);
    REQUIRE(WEXITSTATUS(system("exit 6")) == 6);
    FILE* pipe = popen("echo out", "r");
    char line[16];
    REQUIRE(pipe != NULL && fgets(line, sizeof line, pipe) != NULL);
    REQUIRE(strcmp(line, "out\n") == 0 && pclose(pipe) == 0);
  }
  __atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
  for (int i = 0; i < kThreads; ++i) pthread_join(threads[i], NULL);
  return 0;
}
