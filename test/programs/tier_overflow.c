// A thread runs into the end of its stack, again and again, while another meshes: its handler runs
// on the alternate stack and gets the fault; then it does so without one, and dies of SIGSEGV.
//
//   tier_overflow handled|fatal [nobody] [denied]
#include <setjmp.h>
#include <signal.h>

#include "test/programs/workout.h"

enum { kOverflows = 20, kStackBytes = 256 << 10 };
static sigjmp_buf back;
static volatile uintptr_t fault_address;
static char* alternate;

static void OnSegv(int number, siginfo_t* info, void* context) {
  (void)context;
  char here;
  REQUIRE(number == SIGSEGV);
  REQUIRE((uintptr_t)&here - (uintptr_t)alternate < kStackBytes);
  fault_address = (uintptr_t)info->si_addr;
  siglongjmp(back, 1);
}

// Runs into the end of the stack; `above` is never 0, which the compiler cannot know.
static int Recurse(volatile char* above) {
  volatile char frame[4096];
  frame[0] = above[0];
  return frame[0] == 0 ? 0 : Recurse(frame) + frame[0];
}

static void* Overflow(void* lowest) {
  char top = 1;
  if (lowest == NULL) return Recurse(&top) == 0 ? lowest : NULL;
  stack_t stack = {.ss_sp = alternate, .ss_size = kStackBytes};
  REQUIRE(sigaltstack(&stack, NULL) == 0);
  for (int i = 0; i < kOverflows; i++) {
    fault_address = 0;
    if (sigsetjmp(back, 1) == 0) REQUIRE(Recurse(&top) == 0);
    REQUIRE((uintptr_t)&top - fault_address < 2 * kStackBytes);
  }
  stack.ss_flags = SS_DISABLE;
  REQUIRE(sigaltstack(&stack, NULL) == 0);
  return lowest;
}

int main(int count, char** words) {
  REQUIRE(count >= 2);
  EnterSituation(count, words);
  const int is_handled = strcmp(words[1], "handled") == 0;
  alternate = malloc(kStackBytes);
  struct sigaction action = {.sa_sigaction = OnSegv, .sa_flags = SA_SIGINFO | SA_ONSTACK};
  if (is_handled) REQUIRE(sigaction(SIGSEGV, &action, NULL) == 0);
  pthread_t mesher;
  pthread_t victim;
  REQUIRE(pthread_create(&mesher, NULL, MeshAllTheWhile, NULL) == 0);
  while (FindMallctl() != NULL && Statistic("stats.mesh_count") < 300) usleep(1000);
  pthread_attr_t small;
  pthread_attr_init(&small);
  REQUIRE(pthread_attr_setstacksize(&small, kStackBytes) == 0);
  REQUIRE(pthread_create(&victim, &small, Overflow, is_handled ? alternate : NULL) == 0);
  REQUIRE(pthread_join(victim, NULL) == 0);
  stop_now = 1;
  REQUIRE(pthread_join(mesher, NULL) == 0);
  Report();
  return 0;
}
