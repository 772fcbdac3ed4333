// What the library's own thread must not change, one way a run; see the table of
// background_thread_test.py. Beside Mesh's thread, or without any, the outcome is the same.
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <threads.h>
#include <time.h>

#include "test/programs/sparse.h"

// Threads of this process as the kernel counts them.
static int CountThreads(void) {
  char text[4096];
  int file = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
  REQUIRE(file >= 0);
  ssize_t got = read(file, text, sizeof text - 1);
  close(file);
  REQUIRE(got > 0);
  text[got] = '\0';
  const char* line = strstr(text, "\nThreads:");
  REQUIRE(line != NULL);
  return atoi(line + 9);
}

static pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;

static void* WaitAtGate(void* unused) {
  pthread_mutex_lock(&gate);
  pthread_mutex_unlock(&gate);
  return unused;
}

static volatile pid_t newest;

static void* MakeHoles(void* unused) {
  newest = gettid();
  SparseMake(1);
  SparseCheck(1);
  return unused;
}

static pthread_t Thread(void* (*function)(void*)) {
  pthread_t thread;
  REQUIRE(pthread_create(&thread, NULL, function, NULL) == 0);
  return thread;
}

static void Sleep(int ms) {
  const struct timespec time = {ms / 1000, ms % 1000 * 1000000L};
  nanosleep(&time, NULL);
}

// pthread_join comes back when the kernel clears the thread's id, which is a moment before the
// thread has left the process: unshare(2) would still see it.
static void RunAndJoin(void* (*function)(void*)) {
  REQUIRE(pthread_join(Thread(function), NULL) == 0);
  for (int i = 0; i < 10000 && tgkill(getpid(), newest, 0) == 0; i++) Sleep(1);
}

// How many there are beside the program's own while it has two: says so on stdout.
static int Count(void) {
  pthread_mutex_lock(&gate);
  int before = CountThreads();
  pthread_t thread = Thread(WaitAtGate);
  printf("%d, then %d\n", before, CountThreads());
  pthread_mutex_unlock(&gate);
  return pthread_join(thread, NULL);
}

// The last thread's end is the process's, by way of exit().
static void SayGoodbye(void) {
  static const char kText[] = "goodbye\n";
  REQUIRE(write(1, kText, sizeof kText - 1) == (ssize_t)(sizeof kText - 1));
}

static void* OutliveMain(void* unused) {
  Sleep(50);
  free(malloc(100));
  return unused;
}

static int MainEndsFirst(void) {
  atexit(SayGoodbye);
  for (int i = 0; i < 3; i++) REQUIRE(pthread_detach(Thread(OutliveMain)) == 0);
  pthread_exit(NULL);
}

static int MainEndsLast(void) {
  atexit(SayGoodbye);
  for (int i = 0; i < 3; i++) RunAndJoin(MakeHoles);
  pthread_exit(NULL);
}

// A child of a threaded program starts with one thread, and may have more.
static int Fork(void) {
  pthread_mutex_lock(&gate);
  pthread_t thread = Thread(WaitAtGate);
  for (int i = 0; i < 3; i++) {
    pid_t child = fork();
    REQUIRE(child >= 0);
    if (child == 0) {
      REQUIRE(CountThreads() == 1);
      pthread_mutex_unlock(&gate);
      RunAndJoin(MakeHoles);
      atexit(SayGoodbye);
      if (i == 2) pthread_exit(NULL);
      exit(0);
    }
    int status = -1;
    REQUIRE(waitpid(child, &status, 0) == child && status == 0);
  }
  pthread_mutex_unlock(&gate);
  return pthread_join(thread, NULL);
}

// What only a process of one thread may do, after its threads have ended.
static int Unshare(void) {
  RunAndJoin(MakeHoles);
  RunAndJoin(MakeHoles);
  if (unshare(CLONE_NEWUSER) != 0) {
    REQUIRE(errno != EINVAL);  // some machines refuse it to everybody, by other words
    printf("refused\n");
  }
  REQUIRE(CountThreads() == 1);
  RunAndJoin(MakeHoles);
  return 0;
}

// Signals to the process reach the program's threads alone, and wait while all of these block them.
static volatile sig_atomic_t handled_by;

static void OnSignal(int signal_number) {
  (void)signal_number;
  handled_by = gettid();
}

static int Signals(void) {
  struct sigaction action = {.sa_handler = OnSignal};
  REQUIRE(sigaction(SIGUSR1, &action, NULL) == 0 && sigaction(SIGALRM, &action, NULL) == 0);
  sigset_t all, none, pending;
  sigfillset(&all);
  sigemptyset(&none);
  pthread_mutex_lock(&gate);
  REQUIRE(pthread_sigmask(SIG_SETMASK, &all, NULL) == 0);
  pthread_t thread = Thread(WaitAtGate);
  for (int i = 0; i < 20; i++) {
    handled_by = 0;
    REQUIRE(kill(getpid(), i % 2 == 0 ? SIGUSR1 : SIGALRM) == 0);
    Sleep(2);
    REQUIRE(handled_by == 0);
    REQUIRE(sigpending(&pending) == 0 && sigismember(&pending, i % 2 == 0 ? SIGUSR1 : SIGALRM));
    REQUIRE(pthread_sigmask(SIG_SETMASK, &none, NULL) == 0);
    REQUIRE(handled_by == gettid());
    REQUIRE(pthread_sigmask(SIG_SETMASK, &all, NULL) == 0);
  }
  pthread_mutex_unlock(&gate);
  return pthread_join(thread, NULL);
}

// libc has every thread take part when the user changes; none may be left out, or be waited for in
// vain.
static int ChangeUser(void) {
  pthread_mutex_lock(&gate);
  pthread_t thread = Thread(WaitAtGate);
  REQUIRE(setgid(getgid()) == 0 && setuid(getuid()) == 0);
  pthread_mutex_unlock(&gate);
  return pthread_join(thread, NULL);
}

// As many threads as the limit allows, to the last: ours takes nobody's place. Not as root, whom
// the limit does not bind.
static int ProcessLimit(void) {
  if (getuid() == 0 && (setgid(54321) != 0 || setuid(54321) != 0)) {
    printf("no other user\n");
    return 0;
  }
  const struct rlimit four = {4, 4};
  REQUIRE(setrlimit(RLIMIT_NPROC, &four) == 0);
  pthread_mutex_lock(&gate);
  pthread_t threads[8];
  int made = 0;
  int error = 0;
  while (made < 8 && (error = pthread_create(&threads[made], NULL, WaitAtGate, NULL)) == 0) made++;
  printf("%d threads, error %d\n", made, error == EAGAIN);
  pthread_mutex_unlock(&gate);
  for (int i = 0; i < made; i++) REQUIRE(pthread_join(threads[i], NULL) == 0);
  return 0;
}

// C11's threads come by another name.
static int C11Thread(void* argument) {
  SparseMake(1);
  return *(int*)argument;
}

static int C11(void) {
  int wanted = 42;
  int result = 0;
  thrd_t thread;
  REQUIRE(thrd_create(&thread, C11Thread, &wanted) == thrd_success);
  REQUIRE(thrd_join(thread, &result) == thrd_success && result == wanted);
  return 0;
}

static void* Return(void* value) { return value; }
static void* Exit(void* value) { pthread_exit(value); }
static void* BeCancelled(void* unused) {
  for (;;) Sleep(1000);
  return unused;
}

// All ways in which a thread ends, and what its maker learns.
static int Results(void) {
  int object;
  pthread_t thread;
  void* result = NULL;
  REQUIRE(pthread_create(&thread, NULL, Return, &object) == 0);
  REQUIRE(pthread_join(thread, &result) == 0 && result == &object);
  REQUIRE(pthread_create(&thread, NULL, Exit, &object) == 0);
  REQUIRE(pthread_join(thread, &result) == 0 && result == &object);
  thread = Thread(BeCancelled);
  REQUIRE(pthread_cancel(thread) == 0);
  REQUIRE(pthread_join(thread, &result) == 0 && result == PTHREAD_CANCELED);
  pthread_attr_t attributes;
  REQUIRE(pthread_attr_init(&attributes) == 0);
  struct sched_param priority = {.sched_priority = 99};
  pthread_attr_setinheritsched(&attributes, PTHREAD_EXPLICIT_SCHED);
  pthread_attr_setschedpolicy(&attributes, SCHED_OTHER);
  // Refused by libc: the error is the program's own.
  REQUIRE(pthread_attr_setschedparam(&attributes, &priority) != 0 ||
          pthread_create(&thread, &attributes, Return, NULL) == EINVAL);
  return 0;
}

// For an observer: a heap full of holes and two threads, all asleep. Says its process id.
static int Quiet(void) {
  pthread_mutex_lock(&gate);
  Thread(WaitAtGate);
  SparseMake(1);
  printf("%d\n", (int)getpid());
  fflush(stdout);
  char line[8];
  REQUIRE(read(0, line, sizeof line) >= 0);
  SparseCheck(1);
  return 0;
}

int main(int argc, char** argv) {
  static const struct {
    const char* name;
    int (*run)(void);
  } kWays[] = {
      {"count", Count},
      {"main_first", MainEndsFirst},
      {"main_last", MainEndsLast},
      {"fork", Fork},
      {"unshare", Unshare},
      {"signals", Signals},
      {"user", ChangeUser},
      {"limit", ProcessLimit},
      {"c11", C11},
      {"results", Results},
      {"quiet", Quiet},
  };
  for (size_t i = 0; argc > 1 && i < sizeof kWays / sizeof kWays[0]; i++) {
    if (strcmp(argv[1], kWays[i].name) == 0) return kWays[i].run();
  }
  return 2;
}
