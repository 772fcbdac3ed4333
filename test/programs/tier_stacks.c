// Stacks in heap objects, while the heap is meshed: of coroutines, large or as small as what is
// meshed, and of a signal handler.
//
//   tier_stacks large|small|handler [nobody] [denied]
#include <signal.h>
#include <sys/auxv.h>
#include <ucontext.h>

#include "test/programs/sparse.h"
#include "test/programs/tier.h"

enum { kCoroutines = 60, kOneIn = 8, kSmallStack = 3840, kLargeStack = 40000 };

static ucontext_t main_context;
static ucontext_t contexts[kCoroutines];
static uint64_t counts[kCoroutines];

// Stores to its own stack, which is what may be meshed.
static void Count(int which) {
  volatile uint64_t on_stack[16] = {0};
  for (;;) {
    for (int i = 0; i < 16; i++) on_stack[i]++;
    for (int i = 0; i < 16; i++) REQUIRE(on_stack[i] == counts[which] + 1);
    counts[which]++;
    swapcontext(&contexts[which], &main_context);
  }
}

static void MakeCoroutine(int which, void* stack, size_t size) {
  ucontext_t* context = &contexts[which];
  REQUIRE(getcontext(context) == 0);
  context->uc_stack.ss_sp = stack;
  context->uc_stack.ss_size = size;
  makecontext(context, (void (*)(void))Count, 1, which);
}

// Stacks among others of their size that go, or their spans would be too full to be meshed.
static void MakeCoroutines(size_t size) {
  static void* stacks[kCoroutines * kOneIn];
  for (int i = 0; i < kCoroutines * kOneIn; i++) stacks[i] = malloc(size);
  for (int i = 0; i < kCoroutines * kOneIn; i++) {
    if (i % kOneIn != 0) free(stacks[i]);
  }
  for (int k = 0; k < kCoroutines; k++) MakeCoroutine(k, stacks[k * kOneIn], size);
}

static volatile sig_atomic_t handled;
static stack_t handler_stack;
static void OnSignal(int number) {
  (void)number;
  volatile char here[100];
  for (size_t i = 0; i < sizeof here; i++) here[i] = 1;
  REQUIRE((uintptr_t)here - (uintptr_t)handler_stack.ss_sp < handler_stack.ss_size);
  ++handled;
}

// As small as the kernel lets it be; that may be an object that is meshed.
static void UseHandlerStack(void) {
  const size_t least = getauxval(AT_MINSIGSTKSZ);
  handler_stack.ss_size = (least > 2048 ? least : 2048) + 400;
  handler_stack.ss_sp = malloc(handler_stack.ss_size);
  REQUIRE(sigaltstack(&handler_stack, NULL) == 0);
  struct sigaction action = {.sa_handler = OnSignal, .sa_flags = SA_ONSTACK};
  REQUIRE(sigaction(SIGUSR1, &action, NULL) == 0);
}

static void RunCoroutines(size_t size) {
  MakeCoroutines(size);
  uint64_t rounds = 0;
  for (double end = Seconds() + 0.5; Seconds() < end; rounds++) {
    for (int k = 0; k < kCoroutines; k++) REQUIRE(swapcontext(&main_context, &contexts[k]) == 0);
  }
  for (int k = 0; k < kCoroutines; k++) REQUIRE(counts[k] == rounds);
}

static void HandleSignals(void) {
  UseHandlerStack();
  int sent = 0;
  for (double end = Seconds() + 0.5; Seconds() < end; sent++) REQUIRE(raise(SIGUSR1) == 0);
  REQUIRE(handled == sent);
}

int main(int count, char** words) {
  REQUIRE(count >= 2);
  EnterSituation(count, words);
  pthread_t mesher;
  REQUIRE(pthread_create(&mesher, NULL, MeshAllTheWhile, NULL) == 0);
  if (strcmp(words[1], "handler") == 0) {
    HandleSignals();
  } else {
    RunCoroutines(strcmp(words[1], "small") == 0 ? kSmallStack : kLargeStack);
  }
  stop_now = 1;
  REQUIRE(pthread_join(mesher, NULL) == 0);
  Report();
  return 0;
}
