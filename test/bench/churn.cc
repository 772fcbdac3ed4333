// Churn of small objects: each thread keeps a working set and replaces a random object of it by one
// of another size, over and over. The shape of a program at rest in size but not in content; every
// free is of the thread's own objects. Unit: a pair of malloc and free.
#include <vector>

#include "test/bench/shape.h"

namespace {

// About 1.5 MB a thread: more than the caches nearest to the core, less than any heap of interest.
constexpr std::size_t kObjects = 10'000;
constexpr std::size_t kLargest = 512;

void Churn(std::uint64_t seed, std::uint64_t pairs) {
  bench::Random random(seed);
  std::vector<void*> objects(kObjects);
  for (void*& object : objects) bench::Mark(object = bench::Malloc(random.SmallSize(kLargest)), 0);
  for (std::uint64_t i = 0; i < pairs; ++i) {
    void*& object = objects[random.Below(kObjects)];
    bench::Free(object);
    object = bench::Malloc(random.SmallSize(kLargest));
    bench::Mark(object, i);
  }
  for (void* object : objects) bench::Free(object);
}

}  // namespace

int main(int argc, char** argv) {
  const bench::Shape shape(argc, argv, 12'000'000);
  const std::uint64_t pairs = shape.units() / shape.threads();
  bench::RunThreads(shape.threads(),
                    [&](std::uint64_t thread) { Churn(shape.seed() + thread, pairs); });
  return shape.Report("pair", pairs * shape.threads());
}
