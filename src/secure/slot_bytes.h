// What the bytes of a slot have to be, looked at and written in blocks of 16: every slot is a
// multiple of them, and aligned to one.
//
//   slot   | the object, or zeros ...        | canary |
//   blocks | 16 | 16 | ...             | the last one |
//
// Room: secure. Thread rule: pure functions on memory that the caller owns.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "src/base/check.h"
#include "src/secure/canary.h"

namespace mesh {

namespace internal {

using SlotBlock [[gnu::may_alias]] = uint64_t __attribute__((vector_size(16)));

MESH_ALWAYS_INLINE bool IsZero(SlotBlock block) { return (block[0] | block[1]) == 0; }

}  // namespace internal

// The last `bytes` of a slot, 1 to 16, and what is before them in its last block.
class SlotEnd {
 public:
  static constexpr size_t kMostBytes = 16;

  // `behind`: where the slot ends.
  MESH_ALWAYS_INLINE SlotEnd(char* behind, size_t bytes)
      : place_(reinterpret_cast<Block*>(behind) - 1),
        mask_(Load(kMasks + bytes)),
        wanted_(Load(Canary::BytesFor(place_)) & mask_) {}

  // Whether the bytes are canary, whatever is before them.
  MESH_ALWAYS_INLINE bool IsCanary() const { return internal::IsZero((*place_ & mask_) ^ wanted_); }
  // The same, behind zeros.
  MESH_ALWAYS_INLINE bool IsCanaryBehindZeros() const {
    return internal::IsZero(*place_ ^ wanted_);
  }
  // Makes them canary. What is before them stays, or becomes zeros.
  MESH_ALWAYS_INLINE void Fill() const { *place_ = (*place_ & ~mask_) | wanted_; }
  MESH_ALWAYS_INLINE void FillBehindZeros() const { *place_ = wanted_; }

 private:
  using Block = internal::SlotBlock;
  static_assert(sizeof(Block) == kMostBytes);
  // At `bytes`: so many bytes are set, the last ones of a block.
  alignas(64) static constexpr uint8_t kMasks[2 * sizeof(Block)] = {
      0,    0,    0,    0,    0,    0,    0,    0,    0,    0,    0,
      0,    0,    0,    0,    0,    0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
      0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff};

  static MESH_ALWAYS_INLINE Block Load(const uint8_t* from) {
    Block block;
    memcpy(&block, from, sizeof(block));
    return block;
  }

  Block* place_;
  Block mask_;
  Block wanted_;
};

// Whether `bytes`, a multiple of 16, are zeros.
MESH_ALWAYS_INLINE bool AreZeroBlocks(const void* at, size_t bytes) {
  auto* block = static_cast<const internal::SlotBlock*>(at);
  auto* end = block + bytes / sizeof(*block);
  internal::SlotBlock any{};
  for (; block != end; block++) any |= *block;
  return internal::IsZero(any);
}

// For slots that the program has just used: few bytes, and a call costs as much as writing them.
MESH_ALWAYS_INLINE void ClearBlocks(void* at, size_t bytes) {
  constexpr size_t kFewBytes = 256;
  if (MESH_UNLIKELY(bytes > kFewBytes)) {
    memset(at, 0, bytes);
    return;
  }
  auto* block = static_cast<internal::SlotBlock*>(at);
  for (auto* end = block + bytes / sizeof(*block); block != end; block++) {
    *block = internal::SlotBlock{};
    asm volatile("");  // else this becomes a call of memset
  }
}

}  // namespace mesh
