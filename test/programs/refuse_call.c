// Runs a program under a library, and has the kernel refuse one call of one call site of that
// library: a seccomp filter asks this process about each call that an allocator may make, and where
// it comes from tells the library's own from the program's.
//
//   refuse_call LIBRARY REPORT SITE FIRST COUNT PROGRAM WORDS...
//
// SITE: the address within the library behind its system call instruction, in hexadecimal; 0:
// refuses nothing. FIRST, COUNT: of the calls from there, from 1 on. REPORT: a file that gets a
// line for each site: address, number of the system call, calls made, calls refused. Ends as the
// program does, or with kNoListener where a filter cannot ask: before Linux 5.5, or under another
// filter that does.
#include <limits.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "test/programs/check.h"

enum { kNoListener = 125 };

#define COUNT(array) (sizeof(array) / sizeof *(array))

// What is asked about, and the error that it is refused with. Not those that the kernel has no
// reason to refuse: signal masks, closing what is open, futexes.
static const struct {
  int number, error;
} kCalls[] = {
    {SYS_mmap, ENOMEM},
    {SYS_munmap, ENOMEM},
    {SYS_mremap, ENOMEM},
    {SYS_mprotect, ENOMEM},
    {SYS_madvise, ENOMEM},
    {SYS_mincore, EAGAIN},
    {SYS_memfd_create, EMFILE},
    {SYS_ftruncate, ENOSPC},
    {SYS_fallocate, ENOSPC},
    {SYS_userfaultfd, EMFILE},
    {SYS_ioctl, ENOMEM},
    {SYS_openat, EMFILE},
    {SYS_read, EIO},
    {SYS_pread64, EIO},
    {SYS_fstat, ENOMEM},
    {SYS_fcntl, EMFILE},
    {SYS_prlimit64, EPERM},
    {SYS_getrandom, ENOSYS},
    {SYS_membarrier, EPERM},
    {SYS_prctl, EINVAL},
    {SYS_clone, EAGAIN},
    {SYS_rt_sigaction, EINVAL},
    {SYS_readlinkat, ENOMEM},
    {SYS_getrusage, EINVAL},
    {SYS_tgkill, EAGAIN},
};

static int ErrorOf(int number) {
  for (size_t i = 0; i < COUNT(kCalls); i++) {
    if (kCalls[i].number == number) return kCalls[i].error;
  }
  return 0;
}

static int InstallFilter(void) {
  struct sock_filter rules[2 * COUNT(kCalls) + 2];
  size_t used = 0;
  rules[used++] =
      (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
  for (size_t i = 0; i < COUNT(kCalls); i++) {
    rules[used++] =
        (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)kCalls[i].number, 0, 1);
    rules[used++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF);
  }
  rules[used++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
  struct sock_fprog program = {(unsigned short)used, rules};
  REQUIRE(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
  return (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER,
                      &program);
}

// One descriptor goes over a socket.
typedef struct {
  char byte;
  struct iovec part;
  union {
    struct cmsghdr header;
    char room[CMSG_SPACE(sizeof(int))];
  } control;
  struct msghdr message;
} Parcel;

static void Wrap(Parcel* parcel) {
  parcel->part = (struct iovec){&parcel->byte, 1};
  parcel->message = (struct msghdr){
      .msg_iov = &parcel->part,
      .msg_iovlen = 1,
      .msg_control = &parcel->control,
      .msg_controllen = sizeof parcel->control,
  };
}
static void SendDescriptor(int channel, int descriptor) {
  Parcel parcel = {0};
  Wrap(&parcel);
  parcel.control.header = (struct cmsghdr){CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS};
  memcpy(CMSG_DATA(&parcel.control.header), &descriptor, sizeof descriptor);
  REQUIRE(sendmsg(channel, &parcel.message, 0) == 1);
}
// Returns the descriptor, or -1 if the other side ended without sending one.
static int ReceiveDescriptor(int channel) {
  Parcel parcel = {0};
  Wrap(&parcel);
  if (recvmsg(channel, &parcel.message, MSG_CMSG_CLOEXEC) != 1) return -1;
  REQUIRE(parcel.control.header.cmsg_type == SCM_RIGHTS);
  int descriptor;
  memcpy(&descriptor, CMSG_DATA(&parcel.control.header), sizeof descriptor);
  return descriptor;
}

// The program; the filter's listener is handed over first.
static void RunProgram(int channel, const char* library, char** words) {
  // A site's absolute address is then the same in the children that run other programs.
  personality(ADDR_NO_RANDOMIZE);
  REQUIRE(setenv("LD_PRELOAD", library, 1) == 0);
  int listener = InstallFilter();
  if (listener < 0) _exit(kNoListener);
  SendDescriptor(channel, listener);
  execvp(words[0], words);
  _exit(127);
}

// Executable mappings that calls came from.
static struct {
  uint64_t low, high, start;  // start: what the library's addresses count from
  int is_library;
} places[64];
static size_t place_count;

// Finds where a process's instruction lies. Returns an index of places, -1 if that process is gone.
static int FindPlace(pid_t process, uint64_t address, const char* library) {
  for (size_t i = 0; i < place_count; i++) {
    if (address >= places[i].low && address < places[i].high) return (int)i;
  }
  char line[PATH_MAX + 100];
  snprintf(line, sizeof line, "/proc/%d/maps", (int)process);
  FILE* maps = fopen(line, "re");
  if (maps == NULL) return -1;
  int found = -1;
  while (found < 0 && fgets(line, sizeof line, maps) != NULL) {
    unsigned long low, high, offset;
    REQUIRE(sscanf(line, "%lx-%lx %*s %lx", &low, &high, &offset) == 3);
    if (address < low || address >= high) continue;
    REQUIRE(place_count < COUNT(places));
    found = (int)place_count++;
    places[found].low = low;
    places[found].high = high;
    places[found].start = low - offset;
    places[found].is_library = strstr(line, library) != NULL;
  }
  fclose(maps);
  return found;
}

typedef struct {
  uint64_t site;
  int number;
  long calls, refused;
} Site;
static Site sites[256];
static size_t site_count;

static Site* FindSite(uint64_t address, int number) {
  for (size_t i = 0; i < site_count; i++) {
    if (sites[i].site == address && sites[i].number == number) return &sites[i];
  }
  REQUIRE(site_count < COUNT(sites));
  sites[site_count] = (Site){address, number, 0, 0};
  return &sites[site_count++];
}

typedef struct {
  const char* library;
  uint64_t site;
  long first, count;
} Order;

// Returns the error that a call shall fail with, or 0.
static int Judge(const struct seccomp_notif* call, const Order* order) {
  int place = FindPlace((pid_t)call->pid, call->data.instruction_pointer, order->library);
  if (place < 0 || !places[place].is_library) return 0;
  Site* site = FindSite(call->data.instruction_pointer - places[place].start, call->data.nr);
  long number = ++site->calls;
  int is_meant =
      site->site == order->site && number >= order->first && number - order->first < order->count;
  site->refused += is_meant;
  return is_meant ? ErrorOf(call->data.nr) : 0;
}

static void Answer(int listener, const Order* order) {
  struct seccomp_notif call = {0};
  // Whoever asked may have been killed, or a signal interrupts its call: it asks again then.
  if (ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &call) != 0) return;
  int error = Judge(&call, order);
  struct seccomp_notif_resp answer = {
      .id = call.id,
      .error = -error,
      .flags = error == 0 ? SECCOMP_USER_NOTIF_FLAG_CONTINUE : 0,
  };
  // Whoever asked may be gone by now (ENOENT); EINVAL: the kernel cannot let a call go on.
  if (ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &answer) != 0 && errno == EINVAL) {
    exit(kNoListener);
  }
}

static void WriteReport(const char* path) {
  FILE* report = fopen(path, "w");
  REQUIRE(report != NULL);
  for (size_t i = 0; i < site_count; i++) {
    const Site* site = &sites[i];
    fprintf(report, "%lx %d %ld %ld\n", (unsigned long)site->site, site->number, site->calls,
            site->refused);
  }
  REQUIRE(fclose(report) == 0);
}

int main(int count, char** words) {
  REQUIRE(count > 6);
  Order order = {words[1], strtoull(words[3], NULL, 16), atol(words[4]), atol(words[5])};
  int channel[2];
  REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, channel) == 0);
  pid_t child = fork();
  REQUIRE(child >= 0);
  if (child == 0) RunProgram(channel[1], order.library, words + 6);
  close(channel[1]);
  int process = (int)syscall(SYS_pidfd_open, child, 0);
  REQUIRE(process >= 0);
  int listener = ReceiveDescriptor(channel[0]);
  if (listener < 0) return kNoListener;
  struct pollfd waits[] = {{listener, POLLIN, 0}, {process, POLLIN, 0}};
  while (waits[1].revents == 0) {
    REQUIRE(poll(waits, COUNT(waits), -1) > 0);
    if ((waits[0].revents & POLLIN) != 0) Answer(listener, &order);
  }
  WriteReport(words[2]);
  int status = 0;
  REQUIRE(waitpid(child, &status, 0) == child);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
