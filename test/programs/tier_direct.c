// Reads past the page cache (O_DIRECT), which the device stores past every protection of pages,
// into buffers of the alignments that such reads need; between them lie objects that are meshed.
//
//   tier_direct [nobody] [denied]
#include "test/programs/sparse.h"
#include "test/programs/tier.h"

enum { kFileBytes = 1 << 20, kBlock = 512, kReaders = 3 };

static int file;

static void* ReadAllTheWhile(void* seed) {
  uint64_t random = (uintptr_t)seed;
  while (!stop_now) {
    const size_t alignment = (size_t)kBlock << Random(&random) % 4;
    const size_t size = (1 + Random(&random) % 6) * kBlock;
    const size_t at = Random(&random) % (kFileBytes / kBlock - 6) * kBlock;
    unsigned char* buffer = NULL;
    REQUIRE(posix_memalign((void**)&buffer, alignment, size) == 0);
    ssize_t got = pread(file, buffer, size, (off_t)at);
    // A device of larger blocks wants all of it in these.
    REQUIRE(got == (ssize_t)size || (got == -1 && errno == EINVAL));
    for (size_t i = 0; got > 0 && i < size; i++) {
      REQUIRE(buffer[i] == (unsigned char)((at + i) / kBlock));
    }
    free(buffer);
  }
  return NULL;
}

// False where the file system reads through the cache only.
static int OpenFile(void) {
  static unsigned char bytes[kFileBytes];
  for (size_t i = 0; i < sizeof bytes; i++) bytes[i] = (unsigned char)(i / kBlock);
  int writer = open("direct.bin", O_RDWR | O_CREAT | O_TRUNC, 0600);
  REQUIRE(writer >= 0 && write(writer, bytes, sizeof bytes) == sizeof bytes);
  REQUIRE(fsync(writer) == 0);
  file = open("direct.bin", O_RDONLY | O_DIRECT);
  close(writer);
  return file >= 0;
}

int main(int count, char** words) {
  if (!OpenFile()) {
    printf("no direct reads\n");
    return 0;
  }
  EnterSituation(count, words);
  SparseMake(3);
  pthread_t mesher;
  pthread_t readers[kReaders];
  REQUIRE(pthread_create(&mesher, NULL, MeshAllTheWhile, NULL) == 0);
  for (uintptr_t k = 0; k < kReaders; k++) {
    REQUIRE(pthread_create(&readers[k], NULL, ReadAllTheWhile, (void*)(k + 1)) == 0);
  }
  for (int round = 0; round < 20; round++) {
    CompactIfMesh();
    SparseCheck(3);
    usleep(20000);
  }
  stop_now = 1;
  REQUIRE(pthread_join(mesher, NULL) == 0);
  for (int k = 0; k < kReaders; k++) REQUIRE(pthread_join(readers[k], NULL) == 0);
  Report();
  return 0;
}
