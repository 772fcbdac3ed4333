// Cleared memory: calloc of small objects with a few of up to 1 MB between them, written to and
// freed. An allocator that knows which pages are fresh need not clear those. Unit: a pair of calloc
// and free.
#include <array>

#include "test/bench/shape.h"

namespace {

// One object in so many is large.
constexpr std::uint32_t kLargeEvery = 64;

}  // namespace

int main(int argc, char** argv) {
  const bench::Shape shape(argc, argv, 1'000'000);
  bench::Random random(shape.seed());
  std::array<unsigned char*, 256> objects{};
  for (std::uint64_t i = 0; i < shape.units(); ++i) {
    unsigned char*& object = objects[random.Below(objects.size())];
    bench::Free(object);
    const std::size_t size = random.Below(kLargeEvery) == 0
                                 ? (std::size_t{16} << 10) + random.Below(1 << 20)
                                 : random.SmallSize(1024);
    object = static_cast<unsigned char*>(bench::Calloc(size));
    bench::Expect(object != nullptr, "no memory");
    bench::Expect(object[0] == 0 && object[size / 2] == 0 && object[size - 1] == 0, "not cleared");
    object[0] = object[size / 2] = object[size - 1] = 0xFF;
  }
  for (unsigned char* object : objects) bench::Free(object);
  return shape.Report("pair", shape.units());
}
