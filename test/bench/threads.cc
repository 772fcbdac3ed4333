// Threads that start, allocate a little, free it and end: what an allocator pays per thread. Unit:
// a thread.
#include <array>

#include "test/bench/shape.h"

namespace {

void Visit(std::uint64_t seed) {
  bench::Random random(seed);
  std::array<void*, 50> objects;
  for (void*& object : objects) bench::Mark(object = bench::Malloc(random.SmallSize(1024)), seed);
  for (void* object : objects) {
    bench::CheckMark(object, seed);
    bench::Free(object);
  }
}

}  // namespace

int main(int argc, char** argv) {
  const bench::Shape shape(argc, argv, 6'000);
  for (std::uint64_t done = 0; done < shape.units(); done += 2) {
    bench::RunThreads(2, [&](std::uint64_t thread) { Visit(shape.seed() + done + thread); });
  }
  return shape.Report("thread", shape.units());
}
