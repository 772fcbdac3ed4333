// A thread closes every descriptor that is not the program's, again and again and in every way,
// while another one meshes and others store: no store is lost, and nobody waits for ever. Between
// two rounds the numbers are given to files of the program's, which nobody touches.
//
//   tier_closing close|close_range|closefrom|dup2|syscall [nobody] [denied]
#include <sys/resource.h>
#include <sys/stat.h>

#include "test/programs/sparse.h"
#include "test/programs/tier.h"

enum { kFirst = 3, kLast = 1023 };

static void CloseAll(const char* way, int spare) {
  if (strcmp(way, "close") == 0) {
    for (int number = kFirst; number <= kLast; number++) {
      if (number != spare) close(number);
    }
  } else if (strcmp(way, "close_range") == 0) {
    REQUIRE(close_range(kFirst, (unsigned)spare - 1, 0) == 0);
    REQUIRE(close_range((unsigned)spare + 1, ~0u, 0) == 0);
  } else if (strcmp(way, "closefrom") == 0) {
    REQUIRE(close_range(kFirst, (unsigned)spare - 1, 0) == 0);
    closefrom(spare + 1);
  } else if (strcmp(way, "dup2") == 0) {
    for (int number = kFirst; number <= kLast; number++) {
      if (number == spare) continue;
      REQUIRE(dup2(spare, number) == number);
      REQUIRE(close(number) == 0);
    }
  } else {
    for (long number = kFirst; number <= kLast; number++) {
      if (number != spare) syscall(SYS_close, number);
    }
  }
}

static unsigned mark;
static void* StoreAllTheWhile(void* unused) {
  while (!stop_now) {
    SparseStore(++mark);
    SparseCheck(mark);
  }
  return unused;
}

int main(int count, char** words) {
  REQUIRE(count >= 2);
  EnterSituation(count, words);
  // All numbers that there are, so that Mesh's are among them.
  struct rlimit limit = {kLast + 1, kLast + 1};
  REQUIRE(setrlimit(RLIMIT_NOFILE, &limit) == 0);
  int made = (int)syscall(SYS_memfd_create, "file", 0u);
  int spare = fcntl(made, F_DUPFD, 500);
  REQUIRE(spare >= 500);
  static char data[64 << 10];
  memset(data, 'd', sizeof data);
  REQUIRE(pwrite(spare, data, sizeof data, 0) == sizeof data);
  SparseMake(0);
  pthread_t mesher;
  pthread_t storer;
  REQUIRE(pthread_create(&mesher, NULL, MeshAllTheWhile, NULL) == 0);
  REQUIRE(pthread_create(&storer, NULL, StoreAllTheWhile, NULL) == 0);
  for (int round = 0; round < 60; round++) {
    CloseAll(words[1], spare);
    usleep(2000);
  }
  stop_now = 1;
  REQUIRE(pthread_join(mesher, NULL) == 0 && pthread_join(storer, NULL) == 0);
  SparseCheck(mark);
  struct stat info;
  REQUIRE(fstat(spare, &info) == 0 && info.st_size == sizeof data);
  memset(data, 0, sizeof data);
  REQUIRE(pread(spare, data, sizeof data, 0) == sizeof data);
  for (size_t i = 0; i < sizeof data; i++) REQUIRE(data[i] == 'd');
  Report();
  return 0;
}
