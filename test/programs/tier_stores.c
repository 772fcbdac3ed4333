// Every way in which the kernel stores into small heap objects, while another thread meshes them:
// no call may fail, and nothing that a call consumes (a datagram, a count, a status, a connection)
// may be lost.
//
//   tier_stores SECONDS [nobody] [denied]
#include <fts.h>
#include <poll.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/sysinfo.h>
#include <sys/timerfd.h>
#include <sys/times.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/utsname.h>
#include <sys/wait.h>

#include "test/programs/tier.h"

// Small objects that a thread lends to its calls; replaced at random, so that they lie anywhere.
enum { kBuffers = 64 };
typedef struct {
  void* buffers[kBuffers];
  size_t sizes[kBuffers];
  uint64_t random;
} Lender;

// At least `size` bytes, of an object of at most kMaxObject.
static void* Buffer(Lender* lender, size_t size) {
  uint32_t index = Random(&lender->random) % kBuffers;
  if (lender->sizes[index] < size || Random(&lender->random) % 16 == 0) {
    free(lender->buffers[index]);
    lender->sizes[index] = size + Random(&lender->random) % (kMaxObject - size);
    lender->buffers[index] = malloc(lender->sizes[index]);
    REQUIRE(lender->buffers[index] != NULL);
  }
  return lender->buffers[index];
}
// One that no earlier Buffer() of the same call can be.
static void* Other(size_t size) {
  void* bytes = malloc(size);
  REQUIRE(bytes != NULL);
  return bytes;
}

enum { kFileBytes = 4096 };
static int pattern_file;

static void MakePattern(void) {
  char bytes[kFileBytes];
  for (size_t i = 0; i < kFileBytes; i++) bytes[i] = (char)(i * 7 + i / 256);
  FILE* file = tmpfile();
  REQUIRE(file != NULL);
  pattern_file = fileno(file);
  REQUIRE(write(pattern_file, bytes, kFileBytes) == kFileBytes);
}
static int IsPattern(const char* bytes, size_t size, size_t at) {
  for (size_t i = 0; i < size; i++) {
    size_t k = at + i;
    if (bytes[i] != (char)(k * 7 + k / 256)) return 0;
  }
  return 1;
}

static void ReadFiles(Lender* lender) {
  size_t size = 1 + Random(&lender->random) % 1000;
  size_t at = Random(&lender->random) % (kFileBytes - 1400);
  char* to = Buffer(lender, size);
  REQUIRE(pread(pattern_file, to, size, (off_t)at) == (ssize_t)size && IsPattern(to, size, at));
  char* other = Other(300);
  to = Buffer(lender, size);
  struct iovec* parts = Other(2 * sizeof *parts);
  parts[0] = (struct iovec){to, size};
  parts[1] = (struct iovec){other, 300};
  REQUIRE(preadv(pattern_file, parts, 2, (off_t)at) == (ssize_t)size + 300);
  REQUIRE(IsPattern(to, size, at) && IsPattern(other, 300, at + size));
  REQUIRE(syscall(SYS_pread64, pattern_file, other, (size_t)300, (off_t)at) == 300);
  REQUIRE(IsPattern(other, 300, at));
  free(parts);
  free(other);
}

static void ReadStreams(Lender* lender) {
  FILE* file = fopen("/proc/self/status", "r");
  REQUIRE(file != NULL);
  uint32_t way = Random(&lender->random) % 4;
  char* small = Other(200);
  if (way == 0) REQUIRE(setvbuf(file, small, _IOFBF, 200) == 0);
  if (way == 1) setbuf(file, NULL);
  char* line = Other(8);
  size_t room = 8;
  ssize_t size = getline(&line, &room, file);
  REQUIRE(size > 5 && memcmp(line, "Name:", 5) == 0);
  char* to = Buffer(lender, 100);
  REQUIRE(fgets(to, 100, file) != NULL && memcmp(to, "Umask:", 6) == 0);
  to = Buffer(lender, 400);
  REQUIRE(fread(to, 1, 400, file) == 400 && !ferror(file) && memcmp(to, "State:", 6) == 0);
  free(line);
  fclose(file);
  free(small);
}

static void AskAboutFiles(Lender* lender) {
  struct stat* info = Buffer(lender, sizeof *info);
  REQUIRE(stat("/proc/self", info) == 0 && S_ISDIR(info->st_mode));
  info = Buffer(lender, sizeof *info);
  REQUIRE(fstat(pattern_file, info) == 0 && info->st_size == kFileBytes);
  struct statfs* system = Buffer(lender, sizeof *system);
  REQUIRE(statfs("/proc", system) == 0 && system->f_type == 0x9fa0);
  char* path = Buffer(lender, 200);
  REQUIRE(readlink("/proc/self/cwd", path, 200) > 0);
  REQUIRE(getcwd(Buffer(lender, 1000), 1000) != NULL);
  char* paths[] = {(char*)"/proc/sys/fs", NULL};
  FTS* walk = fts_open(paths, FTS_PHYSICAL | FTS_NOCHDIR, NULL);
  REQUIRE(walk != NULL);
  for (int i = 0; i < 3; i++) {
    FTSENT* entry = fts_read(walk);
    REQUIRE(entry != NULL && entry->fts_info != FTS_NS && entry->fts_info != FTS_ERR);
  }
  fts_close(walk);
}

static void AskAboutProcess(Lender* lender) {
  struct rusage* usage = Buffer(lender, sizeof *usage);
  REQUIRE(getrusage(RUSAGE_SELF, usage) == 0);
  struct timespec* time = Buffer(lender, sizeof *time);
  REQUIRE(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, time) == 0);
  REQUIRE(times(Buffer(lender, sizeof(struct tms))) != -1);
  REQUIRE(uname(Buffer(lender, sizeof(struct utsname))) == 0);
  REQUIRE(sysinfo(Buffer(lender, sizeof(struct sysinfo))) == 0);
  REQUIRE(getrlimit(RLIMIT_NOFILE, Buffer(lender, sizeof(struct rlimit))) == 0);
  REQUIRE(getrandom(Buffer(lender, 200), 200, 0) == 200);
  REQUIRE(syscall(SYS_getrandom, Buffer(lender, 200), 200, 0) == 200);
  REQUIRE(sigprocmask(SIG_BLOCK, NULL, Buffer(lender, sizeof(sigset_t))) == 0);
  REQUIRE(sigaction(SIGUSR1, NULL, Buffer(lender, sizeof(struct sigaction))) == 0);
  REQUIRE(syscall(SYS_sched_getparam, 0, Buffer(lender, 16)) == 0);
  struct timespec* rest = Buffer(lender, sizeof *rest);
  struct timespec* nap = Other(sizeof *nap);
  *nap = (struct timespec){0, 1000};
  REQUIRE(nanosleep(nap, rest) == 0);
  free(nap);
}

static void UsePipes(Lender* lender) {
  int* ends = Buffer(lender, 2 * sizeof(int));
  REQUIRE(pipe(ends) == 0);
  int from = ends[0];
  int to = ends[1];
  REQUIRE(write(to, "twelve bytes", 12) == 12);
  struct pollfd* ready = Buffer(lender, sizeof *ready);
  *ready = (struct pollfd){.fd = from, .events = POLLIN};
  REQUIRE(poll(ready, 1, -1) == 1 && ready->revents == POLLIN);
  fd_set* set = Buffer(lender, sizeof *set);
  FD_ZERO(set);
  FD_SET(from, set);
  REQUIRE(select(from + 1, set, NULL, NULL, NULL) == 1 && FD_ISSET(from, set));
  int epoll = epoll_create1(0);
  struct epoll_event* event = Buffer(lender, sizeof *event);
  *event = (struct epoll_event){.events = EPOLLIN, .data.u64 = 77};
  REQUIRE(epoll_ctl(epoll, EPOLL_CTL_ADD, from, event) == 0);
  memset(event, 0, sizeof *event);
  REQUIRE(epoll_wait(epoll, event, 1, -1) == 1 && event->data.u64 == 77);
  int* waiting = Buffer(lender, sizeof *waiting);
  REQUIRE(ioctl(from, FIONREAD, waiting) == 0 && *waiting == 12);
  char* text = Buffer(lender, 12);
  REQUIRE(read(from, text, 100) == 12 && memcmp(text, "twelve bytes", 12) == 0);
  close(epoll);
  close(from);
  close(to);
}

// A pointer that is really bad fails at once, and what it would have consumed is still there.
static void UseBadPointers(Lender* lender) {
  int ends[2];
  REQUIRE(pipe(ends) == 0 && write(ends[1], "x", 1) == 1);
  void* const bad = Opaque((void*)8);
  REQUIRE(read(ends[0], bad, 1) == -1 && errno == EFAULT);
  REQUIRE(readv(ends[0], bad, 1) == -1 && errno == EFAULT);
  struct iovec* part = Buffer(lender, sizeof *part);
  *part = (struct iovec){bad, 1};
  REQUIRE(readv(ends[0], part, 1) == -1 && errno == EFAULT);
  REQUIRE(stat("/", bad) == -1 && errno == EFAULT);
  int pair[2];
  REQUIRE(socketpair(AF_UNIX, SOCK_DGRAM, 0, pair) == 0);
  REQUIRE(recvmsg(pair[0], bad, MSG_DONTWAIT) == -1 && errno == EFAULT);
  REQUIRE(recvmmsg(pair[0], bad, 1, MSG_DONTWAIT, NULL) == -1 && errno == EFAULT);
  for (int i = 0; i < 2; i++) close(ends[i]), close(pair[i]);
}

// Reads that are under way when meshing comes: a thread on the other side is slow.
static int datagrams[2];
static int counter;
enum { kDatagramBytes = 64 };

static void* SendSlowly(void* unused) {
  char message[kDatagramBytes];
  for (uint64_t number = 0; !stop_now; number++) {
    memset(message, (int)(number & 0x7f), sizeof message);
    memcpy(message, &number, sizeof number);
    REQUIRE(send(datagrams[1], message, sizeof message, 0) == sizeof message);
    uint64_t one = 1;
    REQUIRE(write(counter, &one, sizeof one) == sizeof one);
    usleep(200);
  }
  REQUIRE(send(datagrams[1], "", 1, 0) == 1);
  return unused;
}

static ssize_t Receive(Lender* lender, char* to, uint32_t way) {
  struct sockaddr_un* from = Other(sizeof *from);
  socklen_t* size = Other(sizeof *size);
  *size = sizeof *from;
  ssize_t got = -1;
  struct iovec* part = Other(sizeof *part);
  *part = (struct iovec){to, kDatagramBytes};
  struct mmsghdr* messages = Buffer(lender, sizeof *messages);
  memset(messages, 0, sizeof *messages);
  messages->msg_hdr = (struct msghdr){.msg_iov = part, .msg_iovlen = 1};
  if (way == 0) got = recv(datagrams[0], to, kDatagramBytes, 0);
  if (way == 1) got = recvfrom(datagrams[0], to, kDatagramBytes, 0, (void*)from, size);
  if (way == 2) got = recvmsg(datagrams[0], &messages->msg_hdr, 0);
  if (way == 3) REQUIRE(recvmmsg(datagrams[0], messages, 1, 0, NULL) == 1);
  if (way == 3) got = messages->msg_len;
  if (way == 4) got = read(datagrams[0], to, kDatagramBytes);
  free(part);
  free(size);
  free(from);
  return got;
}

static void* ReceiveAll(void* unused) {
  Lender lender = {.random = 5};
  for (uint64_t expected = 0;; expected++) {
    char* to = Other(kDatagramBytes);
    ssize_t got = Receive(&lender, to, Random(&lender.random) % 5);
    if (got == 1) {
      free(to);
      REQUIRE(expected > 0);
      return unused;
    }
    uint64_t number;
    REQUIRE(got == kDatagramBytes);
    memcpy(&number, to, sizeof number);
    REQUIRE(number == expected && to[kDatagramBytes - 1] == (char)(number & 0x7f));
    free(to);
    uint64_t* count = Buffer(&lender, sizeof *count);
    REQUIRE(read(counter, count, sizeof *count) == sizeof *count && *count == 1);
  }
}

static void* CountTicks(void* unused) {
  Lender lender = {.random = 6};
  int timer = timerfd_create(CLOCK_MONOTONIC, 0);
  struct itimerspec* every_ms = Other(sizeof *every_ms);
  *every_ms = (struct itimerspec){{0, 1000000}, {0, 1000000}};
  REQUIRE(timerfd_settime(timer, 0, every_ms, Buffer(&lender, sizeof *every_ms)) == 0);
  double began = Seconds();
  uint64_t ticks = 0;
  while (!stop_now) {
    double now = Seconds();
    uint64_t* count = Buffer(&lender, sizeof *count);
    REQUIRE(read(timer, count, sizeof *count) == sizeof *count);
    ticks += *count;
    // A read tells of all ticks until then, however late it is.
    REQUIRE((double)ticks >= (now - began) * 1000 - 2);
  }
  free(every_ms);
  close(timer);
  return unused;
}

static void* AcceptAll(void* unused) {
  Lender lender = {.random = 7};
  int listener = socket(AF_UNIX, SOCK_STREAM, 0);
  struct sockaddr_un name = {.sun_family = AF_UNIX};
  // An abstract name of the kernel's choice.
  REQUIRE(bind(listener, (void*)&name, sizeof name.sun_family) == 0 && listen(listener, 5) == 0);
  socklen_t* size = Other(sizeof *size);
  *size = sizeof name;
  REQUIRE(getsockname(listener, (void*)&name, size) == 0);
  while (!stop_now) {
    int client = socket(AF_UNIX, SOCK_STREAM, 0);
    REQUIRE(connect(client, (void*)&name, *size) == 0);
    struct sockaddr_un* from = Buffer(&lender, sizeof *from);
    socklen_t* from_size = Other(sizeof *from_size);
    *from_size = sizeof *from;
    int server = accept(listener, (void*)from, from_size);
    REQUIRE(server >= 0 && from->sun_family == AF_UNIX);
    int* option = Buffer(&lender, sizeof *option);
    *from_size = sizeof *option;
    REQUIRE(getsockopt(server, SOL_SOCKET, SO_TYPE, option, from_size) == 0);
    REQUIRE(*option == SOCK_STREAM);
    free(from_size);
    close(server);
    close(client);
    usleep(500);
  }
  free(size);
  close(listener);
  return unused;
}

static pid_t StartChild(int status) {
  pid_t child = vfork();
  if (child == 0) _exit(status);
  REQUIRE(child > 0);
  return child;
}

static void* WaitForChildren(void* unused) {
  Lender lender = {.random = 8};
  for (int number = 0; !stop_now; number++) {
    pid_t child = StartChild(number % 100);
    int* status = Buffer(&lender, sizeof *status);
    struct rusage* usage = Other(sizeof *usage);
    REQUIRE(wait4(child, status, 0, usage) == child);
    REQUIRE(WIFEXITED(*status) && WEXITSTATUS(*status) == number % 100);
    free(usage);
    usleep(1000);
  }
  return unused;
}

static void* UseAll(void* seed) {
  static void (*const kUses[])(Lender*) = {ReadFiles,       ReadStreams, AskAboutFiles,
                                           AskAboutProcess, UsePipes,    UseBadPointers};
  Lender lender = {.random = (uintptr_t)seed};
  while (!stop_now) kUses[Random(&lender.random) % (sizeof kUses / sizeof *kUses)](&lender);
  for (int i = 0; i < kBuffers; i++) free(lender.buffers[i]);
  return NULL;
}

int main(int count, char** words) {
  REQUIRE(count >= 2);
  EnterSituation(count, words);
  MakePattern();
  REQUIRE(socketpair(AF_UNIX, SOCK_DGRAM, 0, datagrams) == 0);
  counter = eventfd(0, EFD_SEMAPHORE);
  void* (*const kThreads[])(void*) = {MeshAllTheWhile, SendSlowly,      ReceiveAll, CountTicks,
                                      AcceptAll,       WaitForChildren, UseAll,     UseAll};
  enum { kThreadCount = sizeof kThreads / sizeof *kThreads };
  pthread_t threads[kThreadCount];
  for (uintptr_t i = 0; i < kThreadCount; i++) {
    REQUIRE(pthread_create(&threads[i], NULL, kThreads[i], (void*)i) == 0);
  }
  double end = Seconds() + atof(words[1]);
  while (Seconds() < end) usleep(10000);
  stop_now = 1;
  for (int i = 0; i < kThreadCount; i++) REQUIRE(pthread_join(threads[i], NULL) == 0);
  Report();
  return 0;
}
