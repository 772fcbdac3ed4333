// The program's own signals while another thread meshes: handlers, masks, alternate stacks and the
// way it dies are what they would be without Mesh.
//
//   tier_signals MODE [nobody] [denied]
//
// Modes that end by SIGSEGV print nothing; the others print the tier and what was meshed.
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/time.h>

#include "test/programs/tier.h"

enum { kCounters = 400 };
static const double kSeconds = 1.5;

// Counters in small objects of their own, counted up by one thread or one handler: a store that is
// lost shows as a sum that is too small.
typedef struct {
  volatile uint64_t* places[kCounters];
  uint64_t sum;
} Counters;

static void MakeCounters(Counters* counters) {
  for (int i = 0; i < kCounters; i++) {
    // Among objects that come and go, or their spans would be too full to be meshed.
    void* gap[6];
    for (int k = 0; k < 6; k++) gap[k] = malloc(Hidden(96));
    counters->places[i] = calloc(1, Hidden(96));
    REQUIRE(counters->places[i] != NULL);
    for (int k = 0; k < 6; k++) free(gap[k]);
  }
  counters->sum = 0;
}
static void CountOne(Counters* counters) {
  ++*counters->places[counters->sum % kCounters];
  ++counters->sum;
}
static void CheckCounters(const Counters* counters) {
  uint64_t sum = 0;
  for (int i = 0; i < kCounters; i++) sum += *counters->places[i];
  REQUIRE(sum == counters->sum);
}

static void* CountAllTheWhile(void* unused) {
  Counters counters;
  MakeCounters(&counters);
  while (!stop_now) CountOne(&counters);
  CheckCounters(&counters);
  return unused;
}

static pthread_t mesher;
static pthread_t counter;

static void StartMeshing(void) {
  REQUIRE(pthread_create(&mesher, NULL, MeshAllTheWhile, NULL) == 0);
  REQUIRE(pthread_create(&counter, NULL, CountAllTheWhile, NULL) == 0);
}
static void AwaitMeshes(size_t count) {
  double end = Seconds() + 10;
  size_t wanted = Statistic("stats.mesh_count") + count;
  while (FindMallctl() != NULL && Statistic("stats.mesh_count") < wanted && Seconds() < end) {
    usleep(1000);
  }
}
static void StopMeshing(void) {
  stop_now = 1;
  REQUIRE(pthread_join(mesher, NULL) == 0);
  REQUIRE(pthread_join(counter, NULL) == 0);
  Report();
}

static sigjmp_buf back;
static struct {
  volatile uintptr_t address, stack;
  volatile int code, segv_blocked, usr2_blocked;
} seen;

static void OnSegv(int number, siginfo_t* info, void* context) {
  (void)context;
  REQUIRE(number == SIGSEGV);
  sigset_t mask;
  REQUIRE(pthread_sigmask(SIG_BLOCK, NULL, &mask) == 0);
  seen.segv_blocked = sigismember(&mask, SIGSEGV);
  seen.usr2_blocked = sigismember(&mask, SIGUSR2);
  seen.address = (uintptr_t)info->si_addr;
  seen.code = info->si_code;
  seen.stack = (uintptr_t)&mask;
  siglongjmp(back, 1);
}

static void Fault(uintptr_t address) {
  seen.address = 1;
  if (sigsetjmp(back, 1) == 0) *(volatile int*)Opaque((void*)address) = 1;
  REQUIRE(seen.address == address);
}

// Faults of its own, on an alternate stack, all the while.
static void OwnHandler(void) {
  const size_t stack_size = 64 << 10;
  char* page = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  stack_t stack = {.ss_sp = malloc(stack_size), .ss_size = stack_size};
  REQUIRE(sigaltstack(&stack, NULL) == 0);
  struct sigaction action = {.sa_sigaction = OnSegv, .sa_flags = SA_SIGINFO | SA_ONSTACK};
  sigaddset(&action.sa_mask, SIGUSR2);
  struct sigaction before;
  REQUIRE(sigaction(SIGSEGV, &action, &before) == 0 && before.sa_handler == SIG_DFL);
  StartMeshing();
  for (double end = Seconds() + kSeconds; Seconds() < end;) {
    Fault((uintptr_t)page);
    REQUIRE(seen.code == SEGV_ACCERR && seen.segv_blocked && seen.usr2_blocked);
    REQUIRE(seen.stack - (uintptr_t)stack.ss_sp < stack_size);
    Fault(16);
    REQUIRE(seen.code == SEGV_MAPERR);
    REQUIRE(sigaction(SIGSEGV, NULL, &before) == 0 && before.sa_sigaction == OnSegv);
    REQUIRE((before.sa_flags & (SA_SIGINFO | SA_ONSTACK | SA_RESTART)) ==
            (SA_SIGINFO | SA_ONSTACK));
    REQUIRE(sigismember(&before.sa_mask, SIGUSR2) && !sigismember(&before.sa_mask, SIGUSR1));
  }
  StopMeshing();
}

static Counters ticks;
static void OnTick(int number) {
  (void)number;
  CountOne(&ticks);
}

// A handler that runs with all signals blocked, and stores into what is being meshed.
static void FullMask(void) {
  MakeCounters(&ticks);
  struct sigaction action = {.sa_handler = OnTick, .sa_flags = SA_RESTART};
  sigfillset(&action.sa_mask);
  REQUIRE(sigaction(SIGALRM, &action, NULL) == 0);
  struct itimerval often = {{0, 500}, {0, 500}};
  // In this thread alone: two handlers at once would count the same counter, and one may still be
  // at it when the clock has stopped.
  sigset_t alarm;
  sigemptyset(&alarm);
  sigaddset(&alarm, SIGALRM);
  REQUIRE(pthread_sigmask(SIG_BLOCK, &alarm, NULL) == 0);
  StartMeshing();
  REQUIRE(pthread_sigmask(SIG_UNBLOCK, &alarm, NULL) == 0);
  REQUIRE(setitimer(ITIMER_REAL, &often, NULL) == 0);
  AwaitMeshes(2000);
  while (ticks.sum < 100) usleep(1000);
  struct sigaction now;
  REQUIRE(sigaction(SIGALRM, NULL, &now) == 0 && now.sa_handler == OnTick);
  REQUIRE(sigismember(&now.sa_mask, SIGSEGV) == 1 && sigismember(&now.sa_mask, SIGUSR1) == 1);
  often = (struct itimerval){{0, 0}, {0, 0}};
  REQUIRE(setitimer(ITIMER_REAL, &often, NULL) == 0);
  CheckCounters(&ticks);
  StopMeshing();
}

// The main thread blocks everything now and then, and stores meanwhile.
static void BlockedSignals(void) {
  Counters counters;
  MakeCounters(&counters);
  StartMeshing();
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  for (double end = Seconds() + kSeconds; Seconds() < end;) {
    REQUIRE(pthread_sigmask(SIG_SETMASK, &all, &before) == 0);
    for (int i = 0; i < 2000; i++) CountOne(&counters);
    REQUIRE(pthread_sigmask(SIG_SETMASK, &before, NULL) == 0);
    for (int i = 0; i < 20000; i++) CountOne(&counters);
  }
  CheckCounters(&counters);
  StopMeshing();
}

static volatile sig_atomic_t old_style_count;
static void OldStyle(int number) {
  (void)number;
  ++old_style_count;
}

// signal() and sent signals.
static void Sent(void) {
  REQUIRE(signal(SIGSEGV, OldStyle) == SIG_DFL);
  StartMeshing();
  AwaitMeshes(500);
  for (int i = 0; i < 100; i++) REQUIRE(raise(SIGSEGV) == 0);
  REQUIRE(old_style_count == 100);
  REQUIRE(signal(SIGSEGV, SIG_IGN) == OldStyle);
  REQUIRE(raise(SIGSEGV) == 0);
  struct sigaction once = {.sa_handler = OldStyle, .sa_flags = (int)SA_RESETHAND};
  REQUIRE(sigaction(SIGSEGV, &once, NULL) == 0);
  REQUIRE(raise(SIGSEGV) == 0 && old_style_count == 101);
  REQUIRE(signal(SIGSEGV, SIG_DFL) == SIG_DFL);
  StopMeshing();
}

int main(int count, char** words) {
  REQUIRE(count >= 2);
  EnterSituation(count, words);
  const char* mode = words[1];
  if (strcmp(mode, "own") == 0) OwnHandler();
  if (strcmp(mode, "full_mask") == 0) FullMask();
  if (strcmp(mode, "blocked") == 0) BlockedSignals();
  if (strcmp(mode, "sent") == 0) Sent();
  int ignores = strcmp(mode, "null_ignored") == 0;
  int sends = strcmp(mode, "raised") == 0;
  if (ignores || sends || strcmp(mode, "null") == 0) {
    StartMeshing();
    AwaitMeshes(500);
    if (ignores) REQUIRE(signal(SIGSEGV, SIG_IGN) == SIG_DFL);
    if (sends) raise(SIGSEGV);
    *(volatile int*)Opaque(NULL) = 1;
  }
  return 0;
}
