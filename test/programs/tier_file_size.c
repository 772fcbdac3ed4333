// A limit for files that is lowered while the program runs: meshing goes on, no SIGXFSZ comes but
// the program's own, and its own does come.
//
//   tier_file_size [nobody] [denied]
#include <signal.h>
#include <sys/resource.h>

#include "test/programs/sparse.h"
#include "test/programs/tier.h"

enum { kLimit = 4096 };

static volatile sig_atomic_t too_large;
static void OnTooLarge(int number) {
  (void)number;
  ++too_large;
}

int main(int count, char** words) {
  EnterSituation(count, words);
  struct sigaction action = {.sa_handler = OnTooLarge};
  REQUIRE(sigaction(SIGXFSZ, &action, NULL) == 0);
  int file = (int)syscall(SYS_memfd_create, "file", 0u);
  struct rlimit limit = {kLimit, RLIM_INFINITY};
  REQUIRE(file >= 0 && setrlimit(RLIMIT_FSIZE, &limit) == 0);
  pthread_t mesher;
  REQUIRE(pthread_create(&mesher, NULL, MeshAllTheWhile, NULL) == 0);
  for (int round = 0; round < 4; round++) {
    RequireMeshing(1, round);
    REQUIRE(too_large == round);
    REQUIRE(pwrite(file, "x", 1, kLimit) == -1 && errno == EFBIG);
    REQUIRE(too_large == round + 1);
  }
  stop_now = 1;
  REQUIRE(pthread_join(mesher, NULL) == 0);
  sigset_t pending;
  REQUIRE(sigpending(&pending) == 0 && !sigismember(&pending, SIGXFSZ));
  REQUIRE(sigaction(SIGXFSZ, NULL, &action) == 0 && action.sa_handler == OnTooLarge);
  Report();
  return 0;
}
