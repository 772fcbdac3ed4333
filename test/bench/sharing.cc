// False sharing of cache lines (Berger et al., ASPLOS 2000). Each thread allocates a small object,
// writes to it many times and frees it. Active: an allocator that cuts one line into objects for
// two threads makes each write a miss. Passive (--passive): the first objects come from one thread,
// side by side, and each thread frees its own; an allocator that reuses it at once for that thread
// keeps the line shared. Unit: a write.
#include <vector>

#include "test/bench/shape.h"

namespace {

constexpr std::size_t kSize = 8;
constexpr std::uint64_t kWrites = 2'000;  // To one object, before it is freed.

void WriteOften(void* object) {
  auto* byte = static_cast<volatile unsigned char*>(object);
  for (std::uint64_t i = 0; i < kWrites; ++i) byte[i % kSize] = static_cast<unsigned char>(i);
}

}  // namespace

int main(int argc, char** argv) {
  std::uint64_t passive = 0;
  const NumberOption options[] = {{"--passive", &passive, 0, 1, true}};
  const bench::Shape shape(argc, argv, 800'000'000, options);
  const std::uint64_t objects = shape.units() / kWrites / shape.threads() + 1;
  std::vector<void*> given(shape.threads());
  for (void*& object : given) object = passive != 0 ? bench::Malloc(kSize) : nullptr;
  bench::RunThreads(shape.threads(), [&](std::uint64_t thread) {
    bench::Free(given[thread]);
    for (std::uint64_t i = 0; i < objects; ++i) {
      void* object = bench::Malloc(kSize);
      WriteOften(object);
      bench::Free(object);
    }
  });
  return shape.Report("write", objects * shape.threads() * kWrites);
}
