// A child of posix_spawn or vfork that waits before it runs its program: the thread that started it
// waits with it, and every other thread allocates and meshes meanwhile.
//
//   spawn_blocked posix_spawn|vfork [nobody] [denied]
#include <spawn.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "test/programs/sparse.h"
#include "test/programs/tier.h"

static char directory[] = "/tmp/spawn_blocked.XXXXXX";
static char fifo[64];
static char* const kProgram[] = {(char*)"true", NULL};
// An ordinary user may not be able to read the library that the program was started with.
static char* const kNoEnvironment[] = {NULL};

static pid_t Spawn(void) {
  posix_spawn_file_actions_t actions;
  pid_t child;
  REQUIRE(posix_spawn_file_actions_init(&actions) == 0);
  // Opened in the child, which waits there for somebody to write.
  REQUIRE(posix_spawn_file_actions_addopen(&actions, 0, fifo, O_RDONLY, 0) == 0);
  REQUIRE(posix_spawn(&child, "/bin/true", &actions, NULL, kProgram, kNoEnvironment) == 0);
  REQUIRE(posix_spawn_file_actions_destroy(&actions) == 0);
  return child;
}
static pid_t Vfork(void) {
  pid_t child = vfork();
  if (child == 0) {
    if (open(fifo, O_RDONLY) >= 0) execve("/bin/true", kProgram, kNoEnvironment);
    _exit(1);
  }
  return child;
}

static void* StartProgram(void* way) {
  pid_t child = strcmp(way, "vfork") == 0 ? Vfork() : Spawn();
  int status = -1;
  REQUIRE(child > 0 && waitpid(child, &status, 0) == child && status == 0);
  return NULL;
}

int main(int count, char** words) {
  REQUIRE(count >= 2);
  EnterSituation(count, words);
  REQUIRE(mkdtemp(directory) != NULL);
  snprintf(fifo, sizeof fifo, "%s/fifo", directory);
  REQUIRE(mkfifo(fifo, 0600) == 0);
  pthread_t mesher;
  SparseMake(0);
  REQUIRE(pthread_create(&mesher, NULL, MeshAllTheWhile, NULL) == 0);
  for (unsigned round = 0; round < 5; round++) {
    pthread_t starter;
    REQUIRE(pthread_create(&starter, NULL, StartProgram, words[1]) == 0);
    usleep(20000);
    SparseMake(round);
    CompactIfMesh();
    SparseCheck(round);
    int file = open(fifo, O_WRONLY);
    REQUIRE(file >= 0 && pthread_join(starter, NULL) == 0);
    close(file);
  }
  REQUIRE(unlink(fifo) == 0 && rmdir(directory) == 0);
  stop_now = 1;
  REQUIRE(pthread_join(mesher, NULL) == 0);
  Report();
  return 0;
}
