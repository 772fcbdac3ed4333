// A daemon: closes every descriptor, then opens a file of its own, whose descriptor takes all the
// numbers that were open before. Whatever the heap does then, and in a child too, the file is the
// same byte for byte.
//
//   daemon_files FILE MEGABYTES [raw] [nobody] [denied]
//
// raw: by system calls that go past libc, and so past everything that stands in front of it.
#include <dirent.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "test/programs/workout.h"

enum { kMostOpen = 256, kBlock = 1 << 20 };
static uint64_t block[kBlock / sizeof(uint64_t)];

static void FillBlock(uint64_t number) {
  for (size_t i = 0; i < kBlock / sizeof *block; i++)
    block[i] = (number << 32 | i) * 0x9e3779b97f4a7c15u + 1;
}

static int FindOpen(int* numbers) {
  DIR* directory = opendir("/proc/self/fd");
  REQUIRE(directory != NULL);
  int count = 0;
  for (struct dirent* entry; (entry = readdir(directory)) != NULL && count < kMostOpen;) {
    int number = atoi(entry->d_name);
    if (number >= 3 && number != dirfd(directory)) numbers[count++] = number;
  }
  closedir(directory);
  return count;
}

static long RawSyscall(long number, long a, long b, long c) {
#if defined(__x86_64__)
  long result = number;
  __asm__ volatile("syscall" : "+a"(result) : "D"(a), "S"(b), "d"(c) : "rcx", "r11", "memory");
  return result;
#elif defined(__aarch64__)
  register long x8 __asm__("x8") = number;
  register long x0 __asm__("x0") = a;
  register long x1 __asm__("x1") = b;
  register long x2 __asm__("x2") = c;
  __asm__ volatile("svc #0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2) : "memory");
  return x0;
#endif
}

static void CloseAll(int is_raw) {
  if (is_raw) {
    REQUIRE(RawSyscall(SYS_close_range, 3, INT32_MAX, 0) == 0);
  } else {
    closefrom(3);
  }
}
static void Duplicate(int file, int number, int is_raw) {
  long got = is_raw ? RawSyscall(SYS_dup3, file, number, 0) : dup2(file, number);
  REQUIRE(got == number);
}

static int Open(const char* path) {
  int file = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
  REQUIRE(file == 3);
  return file;
}

int main(int count, char** words) {
  REQUIRE(count >= 3);
  EnterSituation(count, words);
  WorkOut();
  int numbers[kMostOpen];
  int open_before = FindOpen(numbers);
  const int is_raw = count > 3 && strcmp(words[3], "raw") == 0;
  CloseAll(is_raw);
  int file = Open(words[1]);
  for (int i = 0; i < open_before; i++) {
    if (numbers[i] != file) Duplicate(file, numbers[i], is_raw);
  }
  const uint64_t blocks = strtoull(words[2], NULL, 10);
  for (uint64_t i = 0; i < blocks; i++) {
    FillBlock(i);
    REQUIRE(write(file, block, kBlock) == kBlock);
  }
  WorkOut();
  pid_t child = fork();
  if (child == 0) {
    WorkOut();
    _exit(0);
  }
  WorkOut();
  int status = -1;
  REQUIRE(waitpid(child, &status, 0) == child && status == 0);
  struct stat info;
  REQUIRE(fstat(file, &info) == 0 && (uint64_t)info.st_size == blocks * kBlock);
  void* bytes = mmap(NULL, blocks * kBlock, PROT_READ, MAP_SHARED, file, 0);
  REQUIRE(bytes != MAP_FAILED);
  for (uint64_t i = 0; i < blocks; i++) {
    FillBlock(i);
    REQUIRE(memcmp((char*)bytes + i * kBlock, block, kBlock) == 0);
  }
  ReportWorkOut();
  return 0;
}
