// See zero_objects.h.
#include "src/secure/zero_objects.h"

#include <bit>

#include "src/arena/metadata.h"
#include "src/base/check.h"
#include "src/os/memory.h"

namespace mesh {

constinit ZeroObjects zero_objects;

namespace {

// Each `every`th bit, a power of two; the first alone from 64 on.
uint64_t BitsAt(size_t every) {
  uint64_t bits = 1;
  for (size_t bit = every; bit < 64; bit += every) bits |= uint64_t{1} << bit;
  return bits;
}

}  // namespace

void ZeroObjects::Reserve(uint64_t seed) {
  used_ = static_cast<std::atomic<uint64_t>*>(AllocateMetadata(kWords * sizeof(*used_)));
  if (used_ == nullptr) return;
  os::Result<uintptr_t> place = os::Reserve(kBytes);
  if (!place.ok()) return;
  base_ = place.value;
  size_ = kBytes;
  // order: relaxed; before first use.
  seed_.store(seed, std::memory_order_relaxed);
}

void* ZeroObjects::Allocate(size_t alignment) {
  if (size_ == 0 || alignment > kMostAlignment) return nullptr;
  const uint64_t aligned = alignment <= kDistance ? ~uint64_t{0} : BitsAt(alignment / kDistance);
  const auto step = static_cast<uint32_t>(alignment <= kWordBytes ? 1 : alignment / kWordBytes);
  // order: relaxed; only that each caller gets another value.
  Random random(seed_.fetch_add(1, std::memory_order_relaxed));
  uint32_t word = random.Below(kWords / step) * step;
  for (uint32_t i = 0; i < kTries; i++, word = (word + step) % kWords) {
    // order: relaxed; the operation below decides.
    uint64_t free = ~used_[word].load(std::memory_order_relaxed) & aligned;
    if (free == 0) continue;
    // The first free one behind a random bit, and round.
    uint32_t from = random.Below(64);
    auto bit =
        (static_cast<uint32_t>(std::countr_zero(std::rotr(free, static_cast<int>(from)))) + from) %
        64;
    uint64_t mask = uint64_t{1} << bit;
    if ((used_[word].fetch_or(mask) & mask) != 0) continue;
    return reinterpret_cast<void*>(base_ + (size_t{word} * 64 + bit) * kDistance);
  }
  return nullptr;
}

std::atomic<uint64_t>* ZeroObjects::WordOf(const void* object, uint64_t* bit) const {
  size_t offset = reinterpret_cast<uintptr_t>(object) - base_;
  if (offset % kDistance != 0) {
    FatalAt("free of a pointer into the middle of an object", object);
  }
  size_t index = offset / kDistance;
  *bit = uint64_t{1} << (index % 64);
  return &used_[index / 64];
}

void ZeroObjects::Free(const void* object) {
  uint64_t bit = 0;
  std::atomic<uint64_t>* word = WordOf(object, &bit);
  if ((word->fetch_and(~bit) & bit) == 0) FatalAt("double free", object);
}

void ZeroObjects::RequireInUse(const void* object) const {
  uint64_t bit = 0;
  if ((WordOf(object, &bit)->load() & bit) == 0) {
    FatalAt("free of a pointer that is not in use", object);
  }
}

}  // namespace mesh
