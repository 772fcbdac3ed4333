// The fast paths of malloc, one function each, for callgrind to count.
//
// python/mesh_tools/instructions.py runs this under valgrind and reads, from the profile, what
// Measure() spent in each function of kPaths: its loop, the calls and all below them. The loop
// alone is the path `Loop`. One thread, one object at a time, after a warm-up of the same: no
// refill, no system call, so the counts are the same from run to run but for a pass of the
// compactor.
//
// Room: test; uses no room of Mesh. Usage: fast_paths [ROUNDS]
#include <malloc.h>

#include <cstddef>
#include <cstdio>
#include <cstdlib>

namespace {

#define NOINLINE __attribute__((noinline, noclone, used))

// Objects that Burst* keep at a time: more than one refill of any class here, less than a megabyte.
constexpr std::size_t kBurst = 1000;

void* g_object;         // What UsableSize and ReallocInPlace look at.
void* g_burst[kBurst];  // What BurstOf64 holds.

// Keeps the compiler from knowing what `value` is, at no instruction.
template <typename T>
inline T Unknown(T value) {
  asm volatile("" : "+r"(value));
  return value;
}

template <std::size_t kSize>
inline void Pairs(long rounds) {
  for (long i = 0; i < rounds; ++i) free(Unknown(malloc(kSize)));
}

}  // namespace

// Names without mangling, for the profile.
extern "C" {

NOINLINE void Loop(long rounds) {
  for (long i = 0; i < rounds; ++i) asm volatile("");
}

NOINLINE void MallocFree16(long rounds) { Pairs<16>(rounds); }
NOINLINE void MallocFree64(long rounds) { Pairs<64>(rounds); }
NOINLINE void MallocFree1024(long rounds) { Pairs<1024>(rounds); }
NOINLINE void MallocFree8192(long rounds) { Pairs<8192>(rounds); }

NOINLINE void CallocFree64(long rounds) {
  for (long i = 0; i < rounds; ++i) free(Unknown(calloc(1, 64)));
}

NOINLINE void ReallocInPlace(long rounds) {
  for (long i = 0; i < rounds; ++i) g_object = realloc(g_object, 60 + (i & 3));
}

NOINLINE void UsableSize(long rounds) {
  for (long i = 0; i < rounds; ++i) Unknown(malloc_usable_size(g_object));
}

NOINLINE void AlignedFree64(long rounds) {
  for (long i = 0; i < rounds; ++i) free(Unknown(aligned_alloc(64, 128)));
}

// With what it takes to refill, spread over the objects. A round is one object here too.
NOINLINE void BurstOf64(long rounds) {
  for (long left = rounds; left > 0; left -= static_cast<long>(kBurst)) {
    for (void*& object : g_burst) object = malloc(64);
    for (void* object : g_burst) free(object);
  }
}

using Path = void (*)(long);
constexpr Path kPaths[] = {Loop,           MallocFree16, MallocFree64,   MallocFree1024,
                           MallocFree8192, CallocFree64, ReallocInPlace, UsableSize,
                           AlignedFree64,  BurstOf64};

// The profile tells calls apart by who calls: warming up is not counted.
NOINLINE void WarmUp(Path path) {
  path(static_cast<long>(kBurst));
  asm volatile("");
}

NOINLINE void Measure(Path path, long rounds) {
  path(rounds);
  asm volatile("");  // So that this is a call, not a jump, which the profile would lay on main().
}

}  // extern "C"

int main(int argc, char** argv) {
  const long rounds = argc > 1 ? std::atol(argv[1]) : 20'000;
  if (rounds < 1 || rounds % static_cast<long>(kBurst) != 0) {
    std::fprintf(stderr, "fast_paths: rounds have to be a multiple of %zu\n", kBurst);
    return 2;
  }
  g_object = malloc(64);
  for (const Path path : kPaths) {
    WarmUp(path);
    Measure(path, rounds);
  }
  free(g_object);
  return 0;
}
