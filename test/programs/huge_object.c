// One object of 3 GiB, beyond 32-bit sizes, touched sparsely; a forked child sees it as it was.
#include <sys/wait.h>

#include "test/programs/check.h"

static const size_t kBytes = (size_t)3 << 30;
static const size_t kStep = (size_t)64 << 20;

static int IsMarked(const char* object) {
  for (size_t at = 0; at < kBytes; at += kStep) {
    if (object[at] != (char)(at / kStep + 1) || object[at + 4096] != 0) return 0;
  }
  return 1;
}

int main(void) {
  char* object = calloc(kBytes, 1);
  REQUIRE(object != NULL);
  for (size_t at = 0; at < kBytes; at += kStep) object[at] = (char)(at / kStep + 1);
  pid_t child = fork();
  if (child == 0) _exit(IsMarked(object) ? 0 : 1);
  int status = -1;
  REQUIRE(waitpid(child, &status, 0) == child && status == 0);
  REQUIRE(IsMarked(object));
  object = realloc(object, kBytes + kStep);
  REQUIRE(object != NULL && IsMarked(object));
  free(object);
  return 0;
}
