// A seccomp filter refuses, from the program's start on, system calls that a compacting allocator
// would like to have. The program runs; whether it is meshed is for the runner to judge.
//
//   denied_calls NAMES ERRNO [nobody] [denied]     NAMES: separated by commas; ERRNO: 0 kills
#include "test/programs/workout.h"

static const struct {
  const char* name;
  unsigned int number;
} kCalls[] = {
    {"memfd_create", SYS_memfd_create},
    {"userfaultfd", SYS_userfaultfd},
    {"mremap", SYS_mremap},
    {"madvise", SYS_madvise},
    {"membarrier", SYS_membarrier},
    {"getrandom", SYS_getrandom},
    {"ftruncate", SYS_ftruncate},
    {"fallocate", SYS_fallocate},
    {"mincore", SYS_mincore},
    {"prctl", SYS_prctl},
};

static void Refuse(unsigned int number, unsigned int error) {
  struct sock_filter rules[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, error == 0 ? SECCOMP_RET_KILL_PROCESS : SECCOMP_RET_ERRNO | error),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  struct sock_fprog program = {sizeof rules / sizeof *rules, rules};
  REQUIRE(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) == 0);
}

static void RefuseAll(const char* names, unsigned int error) {
  REQUIRE(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
  int found = 0;
  for (size_t i = 0; i < sizeof kCalls / sizeof *kCalls; i++) {
    if (strstr(names, kCalls[i].name) == NULL) continue;
    Refuse(kCalls[i].number, error);
    found = 1;
  }
  REQUIRE(found);
}

int main(int count, char** words) {
  REQUIRE(count >= 3);
  if (getenv("IS_FILTERED") == NULL) {
    EnterSituation(count, words);
    REQUIRE(setenv("IS_FILTERED", "1", 1) == 0);
    RefuseAll(words[1], (unsigned int)atoi(words[2]));
    execl(words[0], words[0], words[1], words[2], (char*)NULL);
    REQUIRE(!"execl returned");
  }
  WorkOut();
  ReportWorkOut();
  return 0;
}
