// A daemon that closes every descriptor and opens a file of its own in their place: neither more
// allocation nor compaction touches that file, and exec leaks no descriptor.  argv[1]: the file.
#include <sys/stat.h>
#include <sys/wait.h>

#include "test/programs/check.h"

enum { kFileBytes = 8 << 20, kObjects = 50000 };

static void Churn(void) {
  static void* objects[kObjects];
  for (int i = 0; i < kObjects; ++i) objects[i] = malloc(16 + (size_t)i % 500);
  for (int i = 0; i < kObjects; ++i) {
    if (i % 10 == 0) continue;
    free(objects[i]);
    objects[i] = NULL;
  }
  CompactIfMesh();
  for (int i = 0; i < kObjects; i += 10) free(objects[i]);
  CompactIfMesh();
}

int main(int argc, char** argv) {
  REQUIRE(argc == 2);
  Churn();
  for (int number = 3; number < 1024; ++number) close(number);
  int file = open(argv[1], O_RDWR | O_CREAT | O_TRUNC, 0600);
  REQUIRE(file == 3);
  static char data[kFileBytes];
  memset(data, 'd', sizeof data);
  REQUIRE(write(file, data, sizeof data) == kFileBytes);
  for (int copy = 4; copy < 20; ++copy) REQUIRE(dup2(file, copy) == copy);
  Churn();
  pid_t child = fork();
  if (child == 0) Churn(), _exit(0);
  int status = -1;
  REQUIRE(waitpid(child, &status, 0) == child && status == 0);
  struct stat info;
  REQUIRE(fstat(file, &info) == 0 && info.st_size == kFileBytes);
  memset(data, 0, sizeof data);
  REQUIRE(pread(file, data, sizeof data, 0) == kFileBytes);
  for (int i = 0; i < kFileBytes; ++i) REQUIRE(data[i] == 'd');
  for (int number = 3; number < 20; ++number) close(number);
  // Of the shell's own listing: 0, 1, 2 and the directory that ls reads.
  execl("/bin/sh", "sh", "-c", "exec ls /proc/self/fd", (char*)NULL);
  return 1;
}
