// Aligned allocation: posix_memalign at 16 to 4096 bytes, sizes up to a page, a thousand objects at
// a time. 256 is left out: mimalloc 2.0.9 does not always honour it. Unit: a pair of posix_memalign
// and free.
#include <vector>

#include "test/bench/shape.h"

namespace {

constexpr std::size_t kObjects = 1'000;
constexpr std::size_t kAlignments[] = {16, 32, 64, 64, 64, 128, 128, 4096};

}  // namespace

int main(int argc, char** argv) {
  const bench::Shape shape(argc, argv, 3'000'000);
  bench::Random random(shape.seed());
  std::vector<void*> objects(kObjects);
  for (std::uint64_t i = 0; i < shape.units(); ++i) {
    void*& object = objects[random.Below(kObjects)];
    bench::Free(object);
    const std::size_t alignment = kAlignments[random.Below(std::size(kAlignments))];
    object = bench::Aligned(alignment, random.SmallSize(4096));
    bench::Expect(reinterpret_cast<std::uintptr_t>(object) % alignment == 0, "alignment");
    bench::Mark(object, i);
  }
  for (void* object : objects) bench::Free(object);
  return shape.Report("pair", shape.units());
}
