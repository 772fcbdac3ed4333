// Bursts of one size: allocate many objects, then free all of them in order, in reverse or at
// random (--order=0, 1, 2). Every burst takes another size. Unit: a pair of malloc and free.
#include <algorithm>
#include <utility>
#include <vector>

#include "test/bench/shape.h"

namespace {

constexpr std::size_t kObjects = 50'000;
constexpr std::size_t kSizes[] = {16, 48, 64, 128, 240, 400};

enum Order : std::uint64_t { kInOrder, kReverse, kRandom };

void Burst(std::vector<void*>& objects, std::size_t size, std::uint64_t order,
           bench::Random& random) {
  for (void*& object : objects) bench::Mark(object = bench::Malloc(size), size);
  if (order == kReverse) std::reverse(objects.begin(), objects.end());
  if (order == kRandom) {
    for (std::size_t i = objects.size() - 1; i > 0; --i) {
      std::swap(objects[i], objects[random.Below(i + 1)]);
    }
  }
  for (void* object : objects) {
    bench::CheckMark(object, size);
    bench::Free(object);
  }
}

}  // namespace

int main(int argc, char** argv) {
  std::uint64_t order = kInOrder;
  const NumberOption options[] = {{"--order", &order, kInOrder, kRandom}};
  const bench::Shape shape(argc, argv, 4'000'000, options);
  bench::Random random(shape.seed());
  std::vector<void*> objects(kObjects);
  const std::uint64_t bursts = shape.units() / kObjects + 1;
  for (std::uint64_t i = 0; i < bursts; ++i) {
    Burst(objects, kSizes[i % std::size(kSizes)], order, random);
  }
  return shape.Report("pair", bursts * kObjects);
}
