// One misuse of malloc's family each. The allocator ends the program, in one line, or nothing comes
// of it: then the heap is checked, and the program returns 0.
//
//   misuse NAME [flush]      flush: so many objects are freed afterwards that the thread has to
//                            give slots back to the heap
//   misuse list
#include <malloc.h>
#include <pthread.h>
#include <semaphore.h>
#include <sys/mman.h>

#include "test/programs/check.h"

enum { kSmall = 40, kMiddle = 20000, kLarge = 1 << 20, kCount = 64, kHeapObjects = 3000 };
static char* objects[kCount];

static void Make(size_t size) {
  for (int i = 0; i < kCount; i++) {
    objects[i] = malloc(Hidden(size));
    REQUIRE(objects[i] != NULL);
    memset(objects[i], i, size);
  }
}
static void Free(const void* object) { free(Opaque(object)); }
static void* FreeOnThread(void* object) {
  free(object);
  return NULL;
}
static void FreeByOther(void* object) {
  pthread_t thread;
  REQUIRE(pthread_create(&thread, NULL, FreeOnThread, object) == 0);
  REQUIRE(pthread_join(thread, NULL) == 0);
}

static void FreeTwice(size_t size) {
  Make(size);
  Free(objects[7]);
  Free(objects[7]);
}
static void DoubleSmall(void) { FreeTwice(kSmall); }
static void DoubleMiddle(void) { FreeTwice(kMiddle); }
static void DoubleLarge(void) { FreeTwice(kLarge); }
static void DoubleAlternate(void) {
  Make(kSmall);
  Free(objects[7]);
  Free(objects[9]);
  Free(objects[7]);
}
static void DoubleByOther(void) {
  Make(kLarge);
  FreeByOther(objects[7]);
  Free(objects[7]);
}
static void DoubleSmallByOther(void) {
  Make(kSmall);
  FreeByOther(objects[7]);
  Free(objects[7]);
}
// By a thread that is still there, with the slot among its own.
static sem_t freed, done;
static void* FreeAndStay(void* object) {
  free(object);
  sem_post(&freed);
  while (sem_wait(&done) != 0) continue;
  return NULL;
}
static void DoubleByLiveOther(void) {
  pthread_t thread;
  Make(kSmall);
  REQUIRE(sem_init(&freed, 0, 0) == 0 && sem_init(&done, 0, 0) == 0);
  REQUIRE(pthread_create(&thread, NULL, FreeAndStay, objects[7]) == 0);
  while (sem_wait(&freed) != 0) continue;
  Free(objects[7]);
  sem_post(&done);
  REQUIRE(pthread_join(thread, NULL) == 0);
}
// The last that glibc knows by its thread's cache; and beyond, by the size that it coalesces.
static void DoubleSeventh(void) {
  Make(kSmall);
  for (int i = 0; i < 7; i++) Free(objects[i]);
  Free(objects[0]);
}
static void DoubleMiddleSized(void) {
  Make(600);
  for (int i = 0; i < kCount; i += 2) Free(objects[i]);
  Free(objects[20]);
}
static void DoubleAligned(void) {
  void* other = aligned_alloc(64, 640);
  char* object = aligned_alloc(64, 640);
  REQUIRE(other != NULL && object != NULL);
  Free(object);
  Free(other);
  Free(object);
}
static void DoubleZero(void) {
  Make(0);
  Free(objects[7]);
  Free(objects[9]);
  Free(objects[7]);
}
// The second free comes when the first has long left the thread's own slots.
static void DoubleLate(void) {
  Make(kSmall);
  Free(objects[7]);
  static void* others[5000];
  for (int i = 0; i < 5000; i++) others[i] = malloc(kSmall);
  for (int i = 0; i < 5000; i++) free(others[i]);
  Free(objects[7]);
}
static void InsideSmall(void) {
  Make(208);
  Free(objects[7] + 16);
}
static void InsideMiddle(void) {
  Make(kMiddle);
  Free(objects[7] + 4096);
}
static void InsideLarge(void) {
  Make(kLarge);
  Free(objects[7] + 4096);
}
static void HeadOfLarge(void) {
  Make(kLarge);
  Free(objects[7] + 16);
}
static void Misaligned(void) {
  Make(kSmall);
  Free(objects[7] + 3);
}
static void OnStack(void) {
  char on_stack[256] __attribute__((aligned(16))) = {0};
  Free(on_stack + 64);
}
static void* OnThreadStack(void* unused) {
  char on_stack[256] __attribute__((aligned(16))) = {0};
  Free(on_stack + 64);
  return unused;
}
static void OnStackOfThread(void) {
  pthread_t thread;
  REQUIRE(pthread_create(&thread, NULL, OnThreadStack, NULL) == 0);
  REQUIRE(pthread_join(thread, NULL) == 0);
}
static char in_program[256] __attribute__((aligned(16)));
static void InProgram(void) { Free(in_program + 64); }
static void Mapped(void) {
  char* page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  Free(page + 64);
  REQUIRE(page[64] == 0);
}
static void MappedMisaligned(void) {
  char* page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  Free(page + 65);
}
static void NoAddress(void) { Free((void*)0xdeadbeef0); }
static void ReallocFreed(void) {
  Make(kLarge);
  Free(objects[7]);
  REQUIRE(realloc(Opaque(objects[7]), kLarge * 2) != objects[6]);
}
static void ReallocStack(void) {
  char on_stack[256] __attribute__((aligned(16))) = {0};
  REQUIRE(realloc(Opaque(on_stack + 64), 500) == NULL);
}
static void ReallocMapped(void) {
  char* page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  REQUIRE(realloc(Opaque(page + 64), 500) == NULL && errno == ENOMEM && page[64] == 0);
}
static void ReallocInside(void) {
  Make(kLarge);
  REQUIRE(realloc(Opaque(objects[7] + 4096), kLarge * 2) == NULL);
}
static void ReallocInsideSmall(void) {
  Make(208);
  REQUIRE(realloc(Opaque(objects[7] + 16), 5000) == NULL);
}

static const struct {
  const char* name;
  void (*commit)(void);
} kMisuses[] = {
    {"double_small", DoubleSmall},
    {"double_middle", DoubleMiddle},
    {"double_large", DoubleLarge},
    {"double_alternate", DoubleAlternate},
    {"double_by_other", DoubleByOther},
    {"double_small_by_other", DoubleSmallByOther},
    {"double_by_live_other", DoubleByLiveOther},
    {"double_late", DoubleLate},
    {"double_seventh", DoubleSeventh},
    {"double_middle_sized", DoubleMiddleSized},
    {"double_aligned", DoubleAligned},
    {"double_zero", DoubleZero},
    {"inside_small", InsideSmall},
    {"inside_middle", InsideMiddle},
    {"inside_large", InsideLarge},
    {"head_of_large", HeadOfLarge},
    {"misaligned", Misaligned},
    {"on_stack", OnStack},
    {"on_thread_stack", OnStackOfThread},
    {"in_program", InProgram},
    {"mapped", Mapped},
    {"mapped_misaligned", MappedMisaligned},
    {"no_address", NoAddress},
    {"realloc_freed", ReallocFreed},
    {"realloc_stack", ReallocStack},
    {"realloc_mapped", ReallocMapped},
    {"realloc_inside", ReallocInside},
    {"realloc_inside_small", ReallocInsideSmall},
};

// Frees so many objects of a size that all slots go back that were freed before.
static void Flush(size_t size) {
  static void* others[kHeapObjects];
  for (int i = 0; i < kHeapObjects; i++) others[i] = malloc(Hidden(size));
  for (int i = 0; i < kHeapObjects; i++) free(others[i]);
}

// No address is handed out twice.
static void CheckHeap(void) {
  static unsigned char* fresh[kHeapObjects];
  for (int i = 0; i < kHeapObjects; i++) {
    fresh[i] = malloc(Hidden(kSmall));
    REQUIRE(fresh[i] != NULL);
    memset(fresh[i], i & 0xff, kSmall);
  }
  for (int i = 0; i < kHeapObjects; i++) {
    for (int k = 0; k < kSmall; k++) REQUIRE(fresh[i][k] == (i & 0xff));
  }
  for (int i = 0; i < kHeapObjects; i++) free(fresh[i]);
}

int main(int argc, char** argv) {
  REQUIRE(argc >= 2);
  const int lists = strcmp(argv[1], "list") == 0;
  for (size_t i = 0; i < sizeof kMisuses / sizeof *kMisuses; i++) {
    if (lists) printf("%s\n", kMisuses[i].name);
    if (strcmp(argv[1], kMisuses[i].name) != 0) continue;
    kMisuses[i].commit();
    if (argc > 2) Flush(kSmall), Flush(208), Flush(kMiddle);
    CheckHeap();
    return 0;
  }
  return lists ? 0 : 3;
}
