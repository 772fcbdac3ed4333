// Buffers that are really bad, while the heap is meshed: EFAULT at once, what could have been read
// is still there, and no byte that the program owns has changed.
//
//   tier_bad_buffer [nobody] [denied]
#include <poll.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>

#include "test/programs/sparse.h"
#include "test/programs/tier.h"

enum { kPage = 4096 };

#define REQUIRE_EFAULT(call) REQUIRE((errno = 0, (call) == -1) && errno == EFAULT)

static int ends[2];
static int file;

// `bad` as the only buffer of each call; nothing is consumed.
static void UseAlone(void* bad) {
  REQUIRE(write(ends[1], "abc", 3) == 3);
  struct iovec* part = malloc(sizeof *part);
  *part = (struct iovec){bad, 3};
  REQUIRE_EFAULT(read(ends[0], bad, 3));
  REQUIRE_EFAULT(readv(ends[0], part, 1));
  // As the list of parts: it cannot be read, or what it names is nowhere.
  REQUIRE_EFAULT(readv(ends[0], bad, 1));
  REQUIRE_EFAULT(syscall(SYS_read, ends[0], bad, (size_t)3));
  REQUIRE_EFAULT(pread(file, bad, 3, 0));
  REQUIRE_EFAULT(preadv(file, part, 1, 0));
  REQUIRE_EFAULT(stat("/", bad));
  REQUIRE_EFAULT(fstat(file, bad));
  REQUIRE_EFAULT(getrandom(bad, 8, 0));
  REQUIRE_EFAULT(poll(bad, 1, 0));
  char* kept = malloc(3);
  REQUIRE(read(ends[0], kept, 3) == 3 && memcmp(kept, "abc", 3) == 0);
  free(kept);
  free(part);
}

// Behind a good one: what fits into that is read, and no more is lost.
static void UseBehindGood(void* bad) {
  REQUIRE(pwrite(file, "abcdef", 6, 0) == 6);
  char* good = malloc(3);
  memcpy(good, "...", 3);
  struct iovec* parts = malloc(2 * sizeof *parts);
  parts[0] = (struct iovec){good, 3};
  parts[1] = (struct iovec){bad, 3};
  REQUIRE(preadv(file, parts, 2, 0) == 3 && memcmp(good, "abc", 3) == 0);
  free(parts);
  free(good);
}

int main(int count, char** words) {
  EnterSituation(count, words);
  REQUIRE(pipe(ends) == 0);
  file = (int)syscall(SYS_memfd_create, "file", 0u);
  REQUIRE(file >= 0 && pwrite(file, "abcdef", 6, 0) == 6);
  char* pages = mmap(NULL, 2 * kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  REQUIRE(pages != MAP_FAILED);
  memset(pages, 'r', kPage);
  REQUIRE(mprotect(pages, kPage, PROT_READ) == 0);
  REQUIRE(mprotect(pages + kPage, kPage, PROT_NONE) == 0);
  char* heap_page = aligned_alloc(kPage, kPage);
  memset(heap_page, 'h', kPage);
  REQUIRE(mprotect(heap_page, kPage, PROT_READ) == 0);
  void* const bad[] = {(void*)8, pages + 100, pages + kPage + 100, heap_page};
  SparseMake(5);
  pthread_t mesher;
  REQUIRE(pthread_create(&mesher, NULL, MeshAllTheWhile, NULL) == 0);
  for (int round = 0; round < 200; round++) {
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
      UseAlone(bad[i]);
      UseBehindGood(bad[i]);
    }
    if (round % 20 == 0) CompactIfMesh();
    if (round % 20 == 0) SparseCheck(5);
  }
  stop_now = 1;
  REQUIRE(pthread_join(mesher, NULL) == 0);
  SparseCheck(5);
  for (int i = 0; i < kPage; i++) REQUIRE(pages[i] == 'r' && heap_page[i] == 'h');
  REQUIRE(mprotect(heap_page, kPage, PROT_READ | PROT_WRITE) == 0);
  free(heap_page);
  Report();
  return 0;
}
