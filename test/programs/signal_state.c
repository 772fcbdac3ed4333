// The program's view of signals is that of a fresh process: default dispositions, an empty mask, no
// alternate stack.  Then its own SIGSEGV handler, on its own alternate stack, sees its own fault
// and a real stack overflow.
#include <setjmp.h>
#include <signal.h>

#include "test/programs/check.h"

static sigjmp_buf back;
static volatile uintptr_t fault_address;

static void OnSegv(int number, siginfo_t* info, void* context) {
  (void)number;
  (void)context;
  fault_address = (uintptr_t)info->si_addr;
  siglongjmp(back, 1);
}

// Runs into the end of the stack; `above` is never 0, which the compiler cannot know.
static int Recurse(volatile char* above) {
  volatile char frame[4096];
  frame[0] = above[0];
  return frame[0] == 0 ? 0 : Recurse(frame) + frame[0];
}

static void CheckFreshState(void) {
  for (int number = 1; number < 32; ++number) {
    struct sigaction action;
    REQUIRE(sigaction(number, NULL, &action) == 0);
    REQUIRE(action.sa_handler == SIG_DFL || action.sa_handler == SIG_IGN);  // As inherited.
  }
  sigset_t mask;
  REQUIRE(sigprocmask(SIG_BLOCK, NULL, &mask) == 0 && sigisemptyset(&mask));
  stack_t stack;
  REQUIRE(sigaltstack(NULL, &stack) == 0 && (stack.ss_flags & SS_DISABLE));
}

int main(void) {
  free(malloc(100));
  CheckFreshState();
  const size_t kStackBytes = 256 << 10;
  stack_t stack = {.ss_sp = malloc(kStackBytes), .ss_size = kStackBytes};
  REQUIRE(sigaltstack(&stack, NULL) == 0);
  struct sigaction action = {.sa_sigaction = OnSegv, .sa_flags = SA_SIGINFO | SA_ONSTACK};
  REQUIRE(sigaction(SIGSEGV, &action, NULL) == 0);
  if (sigsetjmp(back, 1) == 0) *(volatile int*)Opaque((void*)16) = 1;
  REQUIRE(fault_address == 16);
  char top = 1;
  if (sigsetjmp(back, 1) == 0) REQUIRE(Recurse(&top) == 0);
  REQUIRE(fault_address != 16);
  CompactIfMesh();
  REQUIRE(sigaction(SIGSEGV, NULL, &action) == 0 && action.sa_sigaction == OnSegv);
  return 0;
}
