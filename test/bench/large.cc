// Large objects: 5 to 25 MB, eight at a time, a random one replaced; a byte of every fourth page is
// written. What an allocator pays for giving pages back and for touching them again. Unit: an
// object.
#include <array>

#include "test/bench/shape.h"

namespace {

constexpr std::size_t kMb = 1 << 20;
constexpr std::size_t kSmallest = 5 * kMb;
constexpr std::size_t kLargest = 25 * kMb;
constexpr std::size_t kStride = 4 * 4096;

}  // namespace

int main(int argc, char** argv) {
  const bench::Shape shape(argc, argv, 300);
  bench::Random random(shape.seed());
  std::array<unsigned char*, 8> objects{};
  for (std::uint64_t i = 0; i < shape.units(); ++i) {
    unsigned char*& object = objects[random.Below(objects.size())];
    bench::Free(object);
    const std::size_t size = kSmallest + random.Below(kLargest - kSmallest);
    object = static_cast<unsigned char*>(bench::Malloc(size));
    for (std::size_t at = 0; at + sizeof(std::uint64_t) < size; at += kStride) {
      bench::Mark(object + at, at);
    }
    bench::CheckMark(object + kStride, kStride);
  }
  for (unsigned char* object : objects) bench::Free(object);
  return shape.Report("object", shape.units());
}
