// fork(2) of a program with threads whose heap is meshed all the while, in one tier of the write
// barrier: one failure of published allocators per mode.
//
//   tier_fork MODE [nobody] [denied]
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "test/programs/sparse.h"
#include "test/programs/tier.h"

static pthread_t mesher;

static void StartMeshing(void) {
  stop_now = 0;
  REQUIRE(pthread_create(&mesher, NULL, MeshAllTheWhile, NULL) == 0);
}
static void StopMeshing(void) {
  stop_now = 1;
  REQUIRE(pthread_join(mesher, NULL) == 0);
}

static pid_t Fork(void) {
  pid_t child = fork();
  REQUIRE(child >= 0);
  return child;
}
static void Await(pid_t child) {
  int status = -1;
  REQUIRE(waitpid(child, &status, 0) == child);
  REQUIRE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

// The child finds its heap as it was, stores, frees, allocates, meshes and forks; the parent stores
// and meshes meanwhile, and its heap stays its own.
static void LiveAmongHoles(unsigned mark) {
  SparseCheck(mark);
  SparseStore(mark + 100);
  for (size_t i = 0; i < kSparseObjects; i += 2 * kSparseOneIn) {
    free(sparse[i]);
    sparse[i] = NULL;
  }
  for (int i = 0; i < 2000; i++) REQUIRE(malloc(Hidden(200)) != NULL);
  CompactIfMesh();
  SparseCheck(mark + 100);
  pid_t grandchild = Fork();
  SparseCheck(mark + 100);
  SparseStore(mark + (grandchild == 0 ? 150 : 160));
  CompactIfMesh();
  SparseCheck(mark + (grandchild == 0 ? 150 : 160));
  if (grandchild != 0) Await(grandchild);
  _exit(0);
}
static void Holes(void) {
  StartMeshing();
  for (unsigned round = 0; round < 5; round++) {
    SparseMake(round);
    if (round % 3 != 2) CompactIfMesh();
    pid_t child = Fork();
    if (child == 0) LiveAmongHoles(round);
    SparseStore(round + 50);
    CompactIfMesh();
    SparseCheck(round + 50);
    Await(child);
    SparseCheck(round + 50);
  }
}

// Pairs of counters of one thread, each first one counted up before its second: what a child sees
// is a moment of that thread's life.
enum { kPairs = 200 };
typedef struct {
  _Atomic uint64_t *first, *second;
} Pair;
static Pair pairs[2][kPairs];

static void* CountPairs(void* which) {
  Pair* mine = which;
  while (!stop_now) {
    for (int i = 0; i < kPairs; i++) {
      ++*mine[i].first;
      ++*mine[i].second;
    }
  }
  return NULL;
}
static void CheckPairs(const Pair* theirs) {
  uint64_t before = *theirs[0].first;
  for (int i = 0; i < kPairs; i++) {
    uint64_t first = *theirs[i].first;
    uint64_t second = *theirs[i].second;
    REQUIRE(first == second || first == second + 1);
    REQUIRE(first == before || first + 1 == before);
    before = second;
  }
  REQUIRE(before == *theirs[0].first || before + 1 == *theirs[0].first);
}
static void Snapshot(void) {
  pthread_t counters[2];
  SparseMake(0);
  for (int k = 0; k < 2; k++) {
    for (int i = 0; i < kPairs; i++) {
      size_t at = (size_t)(k * kPairs + i) * 2 * kSparseOneIn;
      pairs[k][i].first = (void*)sparse[at];
      pairs[k][i].second = (void*)sparse[at + kSparseOneIn];
      *pairs[k][i].first = *pairs[k][i].second = 0;
    }
  }
  StartMeshing();
  for (int k = 0; k < 2; k++) {
    REQUIRE(pthread_create(&counters[k], NULL, CountPairs, pairs[k]) == 0);
  }
  for (int round = 0; round < 20; round++) {
    if (round % 2 == 0) CompactIfMesh();
    pid_t child = Fork();
    if (child == 0) {
      for (int k = 0; k < 2; k++) CheckPairs(pairs[k]);
      _exit(0);
    }
    Await(child);
  }
  stop_now = 1;
  for (int k = 0; k < 2; k++) {
    REQUIRE(pthread_join(counters[k], NULL) == 0);
    for (int i = 0; i < kPairs; i++) REQUIRE(*pairs[k][i].first == *pairs[k][0].first);
  }
}

// Threads hold free slots and spans of their own when the next generation begins. None of that may
// stay behind in the child.
// Six threads hold a MiB at least, so that a leak of one generation shows.
enum { kHolders = 6, kGenerations = 8, kLeak = 512 << 10 };
static pthread_barrier_t together;

static void* HoldMemory(void* unused) {
  for (size_t size = 16; size <= 3000; size += 48) {
    // What nobody has touched costs nothing, whoever has it.
    void* object = malloc(size);
    REQUIRE(object != NULL);
    memset(object, 1, size);
    free(object);
  }
  pthread_barrier_wait(&together);
  for (;;) pause();
  return unused;
}
static void LiveGeneration(int generation, size_t limit) {
  REQUIRE(pthread_barrier_init(&together, NULL, kHolders + 1) == 0);
  for (int i = 0; i < kHolders; i++) {
    pthread_t thread;
    REQUIRE(pthread_create(&thread, NULL, HoldMemory, NULL) == 0);
  }
  pthread_barrier_wait(&together);
  CompactIfMesh();
  size_t physical = Statistic("stats.physical");
  if (limit == 0) limit = physical + kLeak;
  REQUIRE(physical <= limit);
  if (generation == kGenerations) return;
  pid_t child = Fork();
  if (child == 0) {
    LiveGeneration(generation + 1, limit);
    _exit(0);
  }
  Await(child);
}
static void Generations(void) {
  SparseMake(0);
  LiveGeneration(0, 0);
  SparseCheck(0);
}

// After a fork both sides mesh as before, on and on.
static void MeshForGenerations(unsigned generation) {
  RequireMeshing(20, generation);
  if (generation == 4) return;
  pid_t child = Fork();
  if (child == 0) {
    StartMeshing();
    MeshForGenerations(generation + 1);
    StopMeshing();
    _exit(0);
  }
  RequireMeshing(20, generation + 10);
  Await(child);
  RequireMeshing(20, generation + 20);
}
static void Meshes(void) {
  StartMeshing();
  MeshForGenerations(0);
}

// System calls store into the heap of both sides right after the fork, and while it is meshed.
enum { kPieceBytes = 1024 };
static int pieces;

static void MakePieces(void) {
  pieces = (int)syscall(SYS_memfd_create, "pieces", 0u);
  REQUIRE(pieces >= 0);
  char piece[kPieceBytes];
  for (int value = 0; value < 256; value++) {
    memset(piece, value, sizeof piece);
    REQUIRE(write(pieces, piece, sizeof piece) == sizeof piece);
  }
}
static void ReadPiece(void* to, size_t size, size_t value) {
  REQUIRE(pread(pieces, to, size, (off_t)(value % 256 * kPieceBytes)) == (ssize_t)size);
}
static void ReadIntoAll(unsigned mark) {
  for (size_t i = 0; i < kSparseObjects; i++) {
    if (sparse[i] == NULL) continue;
    if (SparseSize(i) >= sizeof(struct stat)) REQUIRE(fstat(pieces, (void*)sparse[i]) == 0);
    ReadPiece(sparse[i], SparseSize(i), i + mark);
  }
  SparseCheck(mark);
}
enum { kBuffers = 200, kBytes = 200, kHoles = 7 };
// Others, with holes between them: what has been meshed, or is full, is left alone.
static void Renew(unsigned char** buffers) {
  unsigned char* holes[kBuffers * kHoles];
  for (int i = 0; i < kBuffers; i++) {
    free(buffers[i]);
    buffers[i] = malloc(Hidden(kBytes));
    for (int k = 0; k < kHoles; k++) holes[i * kHoles + k] = malloc(Hidden(kBytes));
  }
  for (int i = 0; i < kBuffers * kHoles; i++) free(holes[i]);
}
static void* ReadAllTheWhile(void* unused) {
  unsigned char* buffers[kBuffers] = {NULL};
  for (size_t value = 0; !stop_now; value++) {
    if (value % (8 * kBuffers) == 0) Renew(buffers);
    unsigned char* to = buffers[value % kBuffers];
    ReadPiece(to, kBytes, value);
    for (int i = 0; i < kBytes; i++) REQUIRE(to[i] == (unsigned char)value);
  }
  return unused;
}
static void Calls(void) {
  MakePieces();
  SparseMake(0);
  StartMeshing();
  pthread_t reader;
  REQUIRE(pthread_create(&reader, NULL, ReadAllTheWhile, NULL) == 0);
  for (unsigned round = 0; round < 8; round++) {
    CompactIfMesh();
    pid_t child = Fork();
    ReadIntoAll(round + (child == 0 ? 100 : 1));
    CompactIfMesh();
    ReadIntoAll(round + (child == 0 ? 101 : 2));
    if (child == 0) _exit(0);
    Await(child);
    SparseCheck(round + 2);
  }
  stop_now = 1;
  REQUIRE(pthread_join(reader, NULL) == 0);
}

// A child that is stopped while it meshes, and dies so: what it has protected is its own.
static void Stopped(void) {
  SparseMake(0);
  StartMeshing();
  CompactIfMesh();
  pid_t child = Fork();
  if (child == 0) {
    StartMeshing();
    for (unsigned mark = 0;; mark++) {
      SparseStore(mark);
      CompactIfMesh();
    }
  }
  for (unsigned mark = 0; mark < 40; mark++) {
    usleep(3000 + mark * 100);
    REQUIRE(kill(child, SIGSTOP) == 0);
    REQUIRE(waitpid(child, NULL, WUNTRACED) == child);
    SparseStore(mark);
    if (mark % 8 == 0) CompactIfMesh();
    SparseCheck(mark);
    REQUIRE(kill(child, mark < 39 ? SIGCONT : SIGKILL) == 0);
  }
  REQUIRE(waitpid(child, NULL, 0) == child);
  SparseStore(7);
  CompactIfMesh();
  SparseCheck(7);
}

int main(int count, char** words) {
  static const struct {
    const char* name;
    void (*run)(void);
  } kModes[] = {{"holes", Holes},   {"snapshot", Snapshot}, {"generations", Generations},
                {"meshes", Meshes}, {"calls", Calls},       {"stopped", Stopped}};
  REQUIRE(count >= 2);
  EnterSituation(count, words);
  size_t mode = 0;
  while (strcmp(kModes[mode].name, words[1]) != 0) REQUIRE(++mode < sizeof kModes / sizeof *kModes);
  kModes[mode].run();
  Report();
  return 0;
}
