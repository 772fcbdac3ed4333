// What the programs about the write barrier's tiers share: the way into a tier, and a thread that
// meshes all the while.
//
// Plain C, header only. Threads and their stacks come from libc, all else that matters from malloc.
#ifndef TEST_PROGRAMS_TIER_H_
#define TEST_PROGRAMS_TIER_H_

#include <grp.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>

#include "test/programs/check.h"

enum { kNobody = 65534 };

static atomic_bool stop_now;

// Refuses with EPERM: userfaultfd(2) unless its flags have one of `allowed`, and the device's way
// to get one.
static inline void RefuseUserfaultfd(uint32_t allowed) {
  struct sock_filter rules[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_userfaultfd, 0, 3),
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[0])),
      BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, allowed, 4, 0),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_ioctl, 0, 2),
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[1])),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, USERFAULTFD_IOC_NEW, 1, 0),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
  };
  struct sock_fprog program = {sizeof rules / sizeof *rules, rules};
  REQUIRE(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
  REQUIRE(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0);
}

// Becomes an ordinary user. Root of a namespace in which there is nobody else has the device taken
// away instead.
static inline void DropPrivileges(void) {
  if (geteuid() != 0) return;
  if (setgroups(0, NULL) != 0) {
    RefuseUserfaultfd(UFFD_USER_MODE_ONLY);
    return;
  }
  REQUIRE(setresgid(kNobody, kNobody, kNobody) == 0);
  REQUIRE(setresuid(kNobody, kNobody, kNobody) == 0);
  REQUIRE(prctl(PR_SET_DUMPABLE, 1) == 0);
}

// "nobody", "denied": before anything else is done.
static inline void EnterSituation(int count, char** words) {
  for (int i = 1; i < count; i++) {
    if (strcmp(words[i], "nobody") == 0) DropPrivileges();
    if (strcmp(words[i], "denied") == 0) RefuseUserfaultfd(0);
  }
}

typedef int (*Mallctl)(const char*, void*, size_t*, void*, size_t);

static inline Mallctl FindMallctl(void) {
  Mallctl mallctl;
  *(void**)&mallctl = dlsym(RTLD_DEFAULT, "mesh_mallctl");
  return mallctl;
}

static inline size_t Statistic(const char* key) {
  size_t value = 0;
  size_t size = sizeof value;
  Mallctl mallctl = FindMallctl();
  if (mallctl != NULL) REQUIRE(mallctl(key, &value, &size, NULL, 0) == 0);
  return value;
}

static inline uint32_t Random(uint64_t* state) {
  *state = *state * 6364136223846793005u + 1442695040888963407u;
  return (uint32_t)(*state >> 33);
}

static inline double Seconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

// Small objects of all sizes, mostly freed again and meshed, over and over; the survivors are
// checked each time.
enum { kObjects = 6000, kMaxObject = 1500 };
typedef struct {
  unsigned char* bytes;
  size_t size;
} TierObject;

static inline void CheckObject(const TierObject* object, size_t index) {
  for (size_t i = 0; i < object->size; i++) {
    REQUIRE(object->bytes[i] == (unsigned char)(index + i));
  }
}

static inline void* MeshAllTheWhile(void* unused) {
  // Not static: a child's mesher must not find what its parent's had in hand.
  TierObject* objects = calloc(kObjects, sizeof *objects);
  REQUIRE(objects != NULL);
  uint64_t random = 1;
  while (!stop_now) {
    for (size_t i = 0; i < kObjects; i++) {
      if (objects[i].bytes != NULL) continue;
      objects[i].size = 16 + Random(&random) % (kMaxObject - 16);
      objects[i].bytes = malloc(objects[i].size);
      REQUIRE(objects[i].bytes != NULL);
      for (size_t k = 0; k < objects[i].size; k++) objects[i].bytes[k] = (unsigned char)(i + k);
    }
    for (size_t i = 0; i < kObjects; i++) {
      if (Random(&random) % 8 == 0) continue;
      CheckObject(&objects[i], i);
      free(objects[i].bytes);
      objects[i].bytes = NULL;
    }
    CompactIfMesh();
    CompactIfMesh();
  }
  for (size_t i = 0; i < kObjects; i++) {
    if (objects[i].bytes != NULL) CheckObject(&objects[i], i);
    free(objects[i].bytes);
  }
  free(objects);
  return unused;
}

// Says what the runner compares: the tier, and whether anything was meshed at all.
static inline void Report(void) {
  const char* tier = "plain";
  size_t size = sizeof tier;
  Mallctl mallctl = FindMallctl();
  if (mallctl != NULL) {
    REQUIRE(mallctl("stats.barrier_tier", (void*)&tier, &size, NULL, 0) == 0);
  }
  printf("%s\n%zu\n", tier, Statistic("stats.mesh_count"));
}

#endif  // TEST_PROGRAMS_TIER_H_
