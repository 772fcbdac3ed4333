// Buffers that grow by realloc: 64 at a time, each by half its size (as vectors do) or by a fixed
// step (as readers of files do), until it is freed at its own limit of up to 1 MB. Unit: a call of
// realloc.
#include <array>
#include <cstring>

#include "test/bench/shape.h"

namespace {

struct Buffer {
  unsigned char* bytes = nullptr;
  std::size_t size = 0;
  std::size_t limit = 0;
  std::size_t step = 0;  // 0: by half.
};

void Begin(Buffer& buffer, bench::Random& random) {
  // Mostly small limits, a few large ones: each power of two is as likely as the next.
  const std::size_t limit = std::size_t{64} << random.Below(15);
  buffer = {nullptr, 0, limit, random.Below(2) == 0 ? 0 : 16 + limit / 64};
}

void Grow(Buffer& buffer) {
  const std::size_t size = buffer.size + (buffer.step != 0 ? buffer.step : 8 + buffer.size / 2);
  buffer.bytes = static_cast<unsigned char*>(bench::Realloc(buffer.bytes, size));
  bench::Expect(buffer.bytes != nullptr, "no memory");
  if (buffer.size != 0) bench::Expect(buffer.bytes[buffer.size - 1] == 0x5A, "content is lost");
  std::memset(buffer.bytes + buffer.size, 0x5A, size - buffer.size);
  buffer.size = size;
}

}  // namespace

int main(int argc, char** argv) {
  const bench::Shape shape(argc, argv, 500'000);
  bench::Random random(shape.seed());
  std::array<Buffer, 64> buffers;
  for (Buffer& buffer : buffers) Begin(buffer, random);
  for (std::uint64_t i = 0; i < shape.units(); ++i) {
    Buffer& buffer = buffers[random.Below(buffers.size())];
    Grow(buffer);
    if (buffer.size < buffer.limit) continue;
    bench::Free(buffer.bytes);
    Begin(buffer, random);
  }
  for (const Buffer& buffer : buffers) bench::Free(buffer.bytes);
  return shape.Report("realloc", shape.units());
}
