// A daemon: closes every descriptor, then opens a file of its own, whose descriptor takes all the
// numbers that were open before. Whatever the heap does then, and in a child too, the file is the
// same byte for byte.
//
//   daemon_files FILE MEGABYTES [nobody] [denied]
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
  closefrom(3);
  int file = Open(words[1]);
  for (int i = 0; i < open_before; i++) REQUIRE(dup2(file, numbers[i]) == numbers[i]);
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
