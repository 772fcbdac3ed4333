// One misuse of the heap each, by name, for a small or a large object, made by malloc or by new.
//
//   victims NAME small|large malloc|new
//   victims list
//
// Ends with 42 when nobody has stopped it: the misuse went through, or a read has returned what was
// there. With 0 when a read has returned nothing of that. Else the allocator ends it.
#include <pthread.h>
#include <semaphore.h>
#include <sys/mman.h>

#include <new>

#include "test/programs/check.h"

extern "C" __attribute__((weak)) void free_sized(void* object, size_t size);

namespace {

// As many as fill some pages, so that what lies before the middle one is of the heap too.
enum { kCount = 600, kSecret = 0x5a, kWritten = 'A', kUnnoticed = 42, kTurns = 20000 };

size_t size = 40;
bool by_new = false;
int count = kCount;
char* objects[kCount];

char* Make(size_t bytes) {
  void* object = by_new ? ::operator new(Hidden(bytes)) : malloc(Hidden(bytes));
  REQUIRE(object != nullptr);
  return static_cast<char*>(object);
}

void Drop(void* object) {
  if (by_new) {
    ::operator delete(Opaque(object));
  } else {
    free(Opaque(object));
  }
}

void DropSized(void* object, size_t bytes) {
  if (by_new) {
    ::operator delete(Opaque(object), bytes);
  } else if (free_sized != nullptr) {
    free_sized(Opaque(object), bytes);
  }
}

char* MakeMany() {
  for (int i = 0; i < count; i++) {
    objects[i] = Make(size);
    memset(objects[i], kSecret, size);
  }
  return objects[count / 2];
}

void DropMany() {
  for (int i = 0; i < count; i++) Drop(objects[i]);
}

void Write(char* at, size_t bytes) { memset(Opaque(at), kWritten, bytes); }

template <size_t kBytes>
void Overflow() {
  Write(MakeMany() + size, kBytes);
  DropMany();
}

template <size_t kBytes>
void Underflow() {
  Write(MakeMany() - kBytes, kBytes);
  DropMany();
}

void Turn() {
  for (int i = 0; i < (size > 1000 ? 200 : kTurns); i++) Drop(Make(size));
}

void WriteAfterFree() {
  char* object = MakeMany();
  Drop(object);
  Write(object + size / 2, 1);
  Turn();
}

// Nothing is used again: it is found when the program ends.
void WriteAfterFreeAtEnd() {
  char* object = MakeMany();
  Drop(object);
  Write(object + size / 2, 1);
}

bool IsSecretIn(const char* object) {
  const volatile char* bytes = object;
  for (size_t i = 0; i < size; i++) {
    if (bytes[i] == kSecret) return true;
  }
  return false;
}

[[noreturn]] void EndRead(bool leaked) { exit(leaked ? kUnnoticed : 0); }

void ReadAfterFree() {
  char* object = MakeMany();
  Drop(object);
  EndRead(IsSecretIn(object));
}

void UninitialisedRead() {
  MakeMany();
  DropMany();
  bool leaked = false;
  for (int i = 0; i < 2 * count; i++) leaked |= IsSecretIn(Make(size));
  EndRead(leaked);
}

void DoubleFree() {
  char* object = MakeMany();
  Drop(object);
  Drop(object);
}

void DoubleFreeDelayed() {
  char* object = MakeMany();
  Drop(object);
  for (int i = 0; i < count / 4; i++) Drop(objects[i]);
  Drop(object);
}

void* DropOnThread(void* object) {
  Drop(object);
  return nullptr;
}

void DoubleFreeByOther() {
  char* object = MakeMany();
  pthread_t thread;
  REQUIRE(pthread_create(&thread, nullptr, DropOnThread, object) == 0);
  REQUIRE(pthread_join(thread, nullptr) == 0);
  Drop(object);
}

// The other thread is still there, and has the slot among its own.
sem_t dropped, done;
void* DropAndStay(void* object) {
  Drop(object);
  sem_post(&dropped);
  while (sem_wait(&done) != 0) continue;
  return nullptr;
}

void DoubleFreeByLiveOther() {
  char* object = MakeMany();
  pthread_t thread;
  REQUIRE(sem_init(&dropped, 0, 0) == 0 && sem_init(&done, 0, 0) == 0);
  REQUIRE(pthread_create(&thread, nullptr, DropAndStay, object) == 0);
  while (sem_wait(&dropped) != 0) continue;
  Drop(object);
  sem_post(&done);
  REQUIRE(pthread_join(thread, nullptr) == 0);
}

void InvalidInterior() { Drop(MakeMany() + 16); }

void InvalidMisaligned() { Drop(MakeMany() + 1); }

void InvalidStack() {
  alignas(16) char on_stack[256] = {};
  Drop(on_stack + 64);
}

void InvalidForeign() {
  void* page = mmap(nullptr, 1 << 16, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  Drop(static_cast<char*>(page) + 4096 + 64);
}

void WrongSize() { DropSized(MakeMany(), 10 * size); }

void WrongSizeByOne() { DropSized(MakeMany(), size + 1); }

void ZeroSizeWrite() {
  char* object = Make(0);
  Write(object, 1);
  Drop(object);
}

void ZeroSizeRead() {
  const volatile char* object = Make(0);
  static_cast<void>(*object);
}

constexpr struct {
  const char* name;
  void (*commit)();
} kVictims[] = {
    {"overflow_1", Overflow<1>},
    {"overflow_32", Overflow<32>},
    {"overflow_4096", Overflow<4096>},
    {"underflow_1", Underflow<1>},
    {"underflow_32", Underflow<32>},
    {"underflow_4096", Underflow<4096>},
    {"write_after_free", WriteAfterFree},
    {"write_after_free_at_end", WriteAfterFreeAtEnd},
    {"read_after_free", ReadAfterFree},
    {"uninitialised_read", UninitialisedRead},
    {"double_free", DoubleFree},
    {"double_free_delayed", DoubleFreeDelayed},
    {"double_free_other_thread", DoubleFreeByOther},
    {"double_free_live_thread", DoubleFreeByLiveOther},
    {"invalid_interior", InvalidInterior},
    {"invalid_misaligned", InvalidMisaligned},
    {"invalid_stack", InvalidStack},
    {"invalid_foreign", InvalidForeign},
    {"wrong_size", WrongSize},
    {"wrong_size_by_one", WrongSizeByOne},
    {"zero_size_write", ZeroSizeWrite},
    {"zero_size_read", ZeroSizeRead},
};

}  // namespace

int main(int argc, char** argv) {
  REQUIRE(argc >= 2);
  const bool lists = strcmp(argv[1], "list") == 0;
  for (const auto& victim : kVictims) {
    if (lists) puts(victim.name);
    if (strcmp(argv[1], victim.name) != 0) continue;
    REQUIRE(argc == 4);
    if (strcmp(argv[2], "large") == 0) {
      size = 100000;
      count = 64;
    }
    by_new = strcmp(argv[3], "new") == 0;
    victim.commit();
    return kUnnoticed;
  }
  return lists ? 0 : 3;
}
