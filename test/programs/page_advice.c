// Page-sized heap memory under madvise, mprotect and mlock: as with any malloc, whatever has been
// meshed around it.
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "test/programs/sparse.h"

enum { kPage = 4096, kPages = 4, kBytes = kPages * kPage, kObjects = 200 };

static sigjmp_buf back;
static volatile sig_atomic_t faults;

static void OnSegv(int number) {
  (void)number;
  ++faults;
  siglongjmp(back, 1);
}

static int IsAll(const char* bytes, size_t size, char value) {
  for (size_t i = 0; i < size; i++) {
    if (bytes[i] != value) return 0;
  }
  return 1;
}

static char* New(char value) {
  char* object = NULL;
  REQUIRE(posix_memalign((void**)&object, kPage, kBytes) == 0);
  memset(object, value, kBytes);
  return object;
}

static void StoreFaults(char* at, int faults_then) {
  faults = 0;
  if (sigsetjmp(back, 1) == 0) *(volatile char*)at = 's';
  REQUIRE(faults == faults_then);
}

static void DontNeed(void) {
  char* object = New('d');
  REQUIRE(madvise(object + kPage, 2 * kPage, MADV_DONTNEED) == 0);
  CompactIfMesh();
  REQUIRE(IsAll(object, kPage, 'd') && IsAll(object + kPage, 2 * kPage, 0));
  REQUIRE(IsAll(object + 3 * kPage, kPage, 'd'));
  free(object);
}

static void Protect(void) {
  char* object = New('p');
  REQUIRE(mprotect(object + kPage, kPage, PROT_READ) == 0);
  CompactIfMesh();
  StoreFaults(object + kPage, 1);
  StoreFaults(object, 0);
  REQUIRE(IsAll(object + kPage, kPage, 'p'));
  REQUIRE(mprotect(object + kPage, kPage, PROT_NONE) == 0);
  CompactIfMesh();
  StoreFaults(object + kPage, 1);
  REQUIRE(mprotect(object + kPage, kPage, PROT_READ | PROT_WRITE) == 0);
  StoreFaults(object + kPage, 0);
  REQUIRE(IsAll(object + kPage + 1, kPage - 1, 'p'));
  free(object);
}

static void WipeOnFork(void) {
  char* object = New('w');
  REQUIRE(madvise(object, kPage, MADV_WIPEONFORK) == 0);
  CompactIfMesh();
  pid_t child = fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    CompactIfMesh();
    _exit(IsAll(object, kPage, 0) && IsAll(object + kPage, 3 * kPage, 'w') ? 0 : 1);
  }
  int status = -1;
  REQUIRE(waitpid(child, &status, 0) == child && status == 0);
  REQUIRE(IsAll(object, kBytes, 'w'));
  REQUIRE(madvise(object, kPage, MADV_KEEPONFORK) == 0);
  free(object);
}

// Locked pages stay present, and the program may lock as many as before.
static void Lock(void) {
  char* object = New('l');
  REQUIRE(mlock(object, 2 * kPage) == 0);
  CompactIfMesh();
  unsigned char present[kPages];
  REQUIRE(mincore(object, kBytes, present) == 0);
  REQUIRE((present[0] & 1) && (present[1] & 1) && IsAll(object, kBytes, 'l'));
  REQUIRE(munlock(object, 2 * kPage) == 0);
  free(object);
}

int main(void) {
  struct sigaction action = {.sa_handler = OnSegv};
  REQUIRE(sigaction(SIGSEGV, &action, NULL) == 0);
  SparseMake(0);
  for (int round = 0; round < 3; round++) {
    DontNeed();
    Protect();
    WipeOnFork();
    Lock();
    SparseMake((unsigned)round);
  }
  // What such memory is used for next finds it as good as new.
  char* objects[kObjects];
  for (int i = 0; i < kObjects; i++) objects[i] = New((char)i);
  for (int i = 0; i < kObjects; i++) {
    REQUIRE(IsAll(objects[i], kBytes, (char)i));
    free(objects[i]);
  }
  char* zeroed = calloc(kPages, kPage);
  REQUIRE(IsAll(zeroed, kBytes, 0));
  free(zeroed);
  SparseCheck(2);
  return 0;
}
