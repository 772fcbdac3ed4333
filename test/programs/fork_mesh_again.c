// Meshes, frees all of it, forks: from then on parent and child mesh at the same time, and neither
// may come upon memory of the other's.
#include <sys/wait.h>

#include "test/programs/check.h"

enum { kObjects = 40000, kSize = 256 };

static unsigned char* objects[kObjects];

// One object in ten stays, so that there is much to mesh.
static void Fill(unsigned char mark) {
  for (int i = 0; i < kObjects; ++i) {
    objects[i] = malloc(kSize);
    memset(objects[i], mark, kSize);
  }
  for (int i = 0; i < kObjects; ++i) {
    if (rand() % 10 == 0) continue;
    free(objects[i]);
    objects[i] = NULL;
  }
}

static void CheckAndDrop(unsigned char mark) {
  for (int i = 0; i < kObjects; ++i) {
    for (int at = 0; objects[i] != NULL && at < kSize; ++at) REQUIRE(objects[i][at] == mark);
    free(objects[i]);
    objects[i] = NULL;
  }
  // What waits in the thread's own heap goes back too.
  CompactIfMesh();
}

static void MeshAll(unsigned char mark) {
  Fill(mark);
  CompactIfMesh();
}

int main(void) {
  MeshAll(1);
  CheckAndDrop(1);
  int to_parent[2];
  int to_child[2];
  REQUIRE(pipe(to_parent) == 0 && pipe(to_child) == 0);
  char word = 0;
  pid_t child = fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    MeshAll(2);
    REQUIRE(write(to_parent[1], &word, 1) == 1);
    REQUIRE(read(to_child[0], &word, 1) == 1);
    CheckAndDrop(2);
    _exit(0);
  }
  REQUIRE(read(to_parent[0], &word, 1) == 1);
  MeshAll(3);
  REQUIRE(write(to_child[1], &word, 1) == 1);
  int status = -1;
  REQUIRE(waitpid(child, &status, 0) == child);
  REQUIRE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
  CheckAndDrop(3);
  return 0;
}
