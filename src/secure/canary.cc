// See canary.h.
#include "src/secure/canary.h"

#include <array>
#include <cstring>

#include "src/base/check.h"
#include "src/base/random.h"
#include "src/os/memory.h"

namespace mesh {
namespace {

// Above ASCII, and not what programs and debuggers fill memory with.
constexpr bool MayBeDrawn(uint32_t byte) {
  constexpr uint8_t kUsual[] = {0xa5, 0xab, 0xad, 0xbe, 0xc0, 0xc2, 0xc3, 0xcd,
                                0xde, 0xdf, 0xe2, 0xef, 0xf0, 0xfa, 0xfd, 0xfe};
  if (byte <= 0x80 || byte >> 4 == (byte & 15)) return false;
  for (uint8_t usual : kUsual) {
    if (byte == usual) return false;
  }
  return true;
}

constexpr uint32_t kDrawable = [] {
  uint32_t count = 0;
  for (uint32_t byte = 0; byte < 256; byte++) count += MayBeDrawn(byte);
  return count;
}();

constexpr std::array<uint8_t, kDrawable> kDrawableBytes = [] {
  std::array<uint8_t, kDrawable> bytes{};
  uint32_t count = 0;
  for (uint32_t byte = 0; byte < 256; byte++) {
    if (MayBeDrawn(byte)) bytes[count++] = static_cast<uint8_t>(byte);
  }
  return bytes;
}();

}  // namespace

constinit const uint8_t* Canary::bytes_ = nullptr;

bool Canary::Draw(uint64_t seed) {
  // Guards before and behind.
  os::Result<uintptr_t> place = os::Reserve(4 * kPageSize);
  if (!place.ok() || !os::Commit(place.value + kPageSize, 2 * kPageSize).ok()) return false;
  auto* bytes = reinterpret_cast<uint8_t*>(place.value + kPageSize);
  Random random(seed);
  for (size_t i = 0; i < kPeriod; i++) bytes[i] = kDrawableBytes[random.Below(kDrawable)];
  static_assert(kPeriod + kMostBytes <= 2 * kPageSize);
  for (size_t i = kPeriod; i < 2 * kPageSize; i += kPeriod) memcpy(bytes + i, bytes, kPeriod);
  bytes_ = bytes;
  static_cast<void>(os::Protect(place.value + kPageSize, 2 * kPageSize, os::Protection::kRead));
  return true;
}

void Canary::Fill(void* at, size_t bytes) {
  MESH_DCHECK(bytes <= kMostBytes);
  memcpy(at, BytesFor(at), bytes);
}

bool Canary::IsWhole(const void* at, size_t bytes) {
  MESH_DCHECK(bytes <= kMostBytes);
  return memcmp(at, BytesFor(at), bytes) == 0;
}

}  // namespace mesh
