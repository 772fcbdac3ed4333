// argv[1] "as" or "fsize": sets RLIMIT_AS to 512 MB or RLIMIT_FSIZE to 0 and runs itself again, so
// that the whole process, start-up included, lives under the limit.  Under "as" memory runs out
// with NULL and ENOMEM and comes back after free; under "fsize" no SIGXFSZ kills the program.
#include <sys/resource.h>

#include "test/programs/check.h"

enum { kMaxObjects = 200000, kSize = 8000 };

static void* objects[kMaxObjects];

static int FillUp(void) {
  int count = 0;
  while (count < kMaxObjects && (objects[count] = malloc(kSize)) != NULL) {
    memset(objects[count++], 1, kSize);
  }
  return count;
}

static void RunOut(void) {
  for (int round = 0; round < 3; ++round) {
    errno = 0;
    int count = FillUp();
    REQUIRE(count < kMaxObjects && errno == ENOMEM);
    REQUIRE(count > 20000);  // 160 MB of the 512: the library's own reserve may not eat them all.
    for (int i = 0; i < count; ++i) free(objects[i]);
  }
}

static void Churn(void) {
  for (int i = 0; i < kMaxObjects / 4; ++i) objects[i] = malloc(200);
  for (int i = 0; i < kMaxObjects / 4; ++i) {
    if (i % 10 != 0) free(objects[i]);
  }
  CompactIfMesh();
}

int main(int argc, char** argv) {
  REQUIRE(argc >= 2);
  const int is_as = strcmp(argv[1], "as") == 0;
  if (argc == 2) {
    struct rlimit limit = {is_as ? (rlim_t)512 << 20 : 0, is_as ? (rlim_t)512 << 20 : 0};
    REQUIRE(setrlimit(is_as ? RLIMIT_AS : RLIMIT_FSIZE, &limit) == 0);
    execl("/proc/self/exe", argv[0], argv[1], "limited", (char*)NULL);
    REQUIRE(!"execl returned");
  }
  if (is_as) {
    RunOut();
  } else {
    Churn();
  }
  return 0;
}
