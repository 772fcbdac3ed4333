// Reads by io_uring into small objects, in flight while the heap is meshed: the kernel completes
// them behind the program's back, by liburing's own system calls. Compiled by the test itself.
//
//   tier_uring alone|threads [nobody] [denied]
#include <liburing.h>

#include "test/programs/sparse.h"
#include "test/programs/tier.h"

enum { kReads = 64, kBytes = 200, kRounds = 40 };

static struct io_uring ring;
static int pipes[kReads][2];
static unsigned char* buffers[kReads];

// Waits in the kernel until the pipe is written to.
static void Submit(int which) {
  struct io_uring_sqe* entry = io_uring_get_sqe(&ring);
  REQUIRE(entry != NULL);
  io_uring_prep_read(entry, pipes[which][0], buffers[which], kBytes, 0);
  io_uring_sqe_set_data64(entry, (uint64_t)which);
}

static void Complete(int round) {
  struct io_uring_cqe* entry;
  REQUIRE(io_uring_wait_cqe(&ring, &entry) == 0);
  const uint64_t which = io_uring_cqe_get_data64(entry);
  REQUIRE(which < kReads && entry->res == kBytes);
  io_uring_cqe_seen(&ring, entry);
  for (int i = 0; i < kBytes; i++) REQUIRE(buffers[which][i] == (unsigned char)(which + round));
}

static void RunRound(int round) {
  for (int k = 0; k < kReads; k++) {
    // Among the survivors of holes, so that its span is meshed.
    buffers[k] = NULL;
    for (size_t i = (size_t)k * 180; buffers[k] == NULL; i++) {
      if (sparse[i] != NULL && SparseSize(i) >= kBytes) buffers[k] = sparse[i];
    }
    Submit(k);
  }
  REQUIRE(io_uring_submit(&ring) == kReads);
  CompactIfMesh();
  for (int k = 0; k < kReads; k++) {
    unsigned char bytes[kBytes];
    memset(bytes, (k + round) & 0xff, sizeof bytes);
    REQUIRE(write(pipes[k][1], bytes, sizeof bytes) == sizeof bytes);
    if (k % 16 == 0) CompactIfMesh();
  }
  for (int k = 0; k < kReads; k++) Complete(round);
  SparseMake((unsigned)round);
}

int main(int count, char** words) {
  REQUIRE(count >= 2);
  EnterSituation(count, words);
  const int has_threads = strcmp(words[1], "threads") == 0;
  for (int k = 0; k < kReads; k++) REQUIRE(pipe(pipes[k]) == 0);
  SparseMake(0);
  pthread_t mesher;
  if (io_uring_queue_init(2 * kReads, &ring, 0) != 0) {
    printf("no ring\n");
    return 0;
  }
  if (has_threads) REQUIRE(pthread_create(&mesher, NULL, MeshAllTheWhile, NULL) == 0);
  for (int round = 0; round < kRounds; round++) RunRound(round);
  stop_now = 1;
  if (has_threads) REQUIRE(pthread_join(mesher, NULL) == 0);
  Report();
  return 0;
}
