// What the bytes of a slot have to be, looked at and written in blocks of 16: every slot is a
// multiple of them, and aligned to one.
//
//   slot   | the object ...             | canary |
//   free   | zeros ...             | a canary byte |
//   blocks | 16 | 16 | ...         | the last one |
//
// Room: secure. Thread rule: pure functions on memory that the caller owns.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

#include "src/base/check.h"
#include "src/secure/canary.h"

namespace mesh {

namespace internal {

using SlotBlock [[gnu::may_alias]] = uint64_t __attribute__((vector_size(16)));

MESH_ALWAYS_INLINE bool AreEqual(SlotBlock a, SlotBlock b) {
#if defined(__SSE2__)
  const __m128i equal = _mm_cmpeq_epi8(reinterpret_cast<__m128i>(a), reinterpret_cast<__m128i>(b));
  return _mm_movemask_epi8(equal) == 0xffff;
#else
  const SlotBlock difference = a ^ b;
  return (difference[0] | difference[1]) == 0;
#endif
}

MESH_ALWAYS_INLINE bool IsZero(SlotBlock block) { return AreEqual(block, SlotBlock{}); }

// Calls visit() for blocks that cover [at, at + bytes), a multiple of 16, and no others; for some
// of them twice, since that takes fewer branches.
template <typename Block, typename Visit>
MESH_ALWAYS_INLINE void VisitBlocks(Block* at, size_t bytes, Visit visit) {
  auto* end = reinterpret_cast<Block*>(reinterpret_cast<uintptr_t>(at) + bytes);
  if (bytes >= 4 * sizeof(Block)) {
    end -= 4;
    visit(end[0]), visit(end[1]), visit(end[2]), visit(end[3]);
    for (; MESH_UNLIKELY(at < end); at += 4) {
      visit(at[0]), visit(at[1]), visit(at[2]), visit(at[3]);
    }
  } else if (bytes >= 2 * sizeof(Block)) {
    visit(at[0]), visit(at[1]), visit(end[-2]), visit(end[-1]);
  } else if (bytes != 0) {
    visit(at[0]);
  }
}

}  // namespace internal

// The last block of a slot, of which the last `bytes`, 1 to 16, are canary.
class SlotEnd {
 public:
  static constexpr size_t kMostBytes = 16;

  // `behind`: where the slot ends.
  MESH_ALWAYS_INLINE explicit SlotEnd(char* behind)
      : place_(reinterpret_cast<Block*>(behind) - 1),
        canary_(*reinterpret_cast<const Block*>(Canary::BytesFor(place_))) {}

  // Whether the bytes are canary, whatever is before them.
  MESH_ALWAYS_INLINE bool IsCanary(size_t bytes) const {
    const Block mask = Mask(bytes);
    return internal::AreEqual(*place_ & mask, canary_ & mask);
  }
  // Zeros where there are zeros and the canary's last byte.
  MESH_ALWAYS_INLINE internal::SlotBlock DifferenceFromFree() const {
    return *place_ ^ (canary_ & Mask(1));
  }
  // Makes them canary. What is before them stays, or becomes zeros.
  MESH_ALWAYS_INLINE void Fill(size_t bytes) const {
    const Block mask = Mask(bytes);
    *place_ = (*place_ & ~mask) | (canary_ & mask);
  }
  MESH_ALWAYS_INLINE void FillBehindZeros(size_t bytes) const { *place_ = canary_ & Mask(bytes); }

 private:
  using Block = internal::SlotBlock;
  static_assert(sizeof(Block) == kMostBytes);
  // At `bytes`: so many bytes are set, the last ones of a block.
  alignas(64) static constexpr uint8_t kMasks[2 * sizeof(Block)] = {
      0,    0,    0,    0,    0,    0,    0,    0,    0,    0,    0,
      0,    0,    0,    0,    0,    0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
      0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff};

  static MESH_ALWAYS_INLINE Block Mask(size_t bytes) {
    Block block;
    memcpy(&block, kMasks + bytes, sizeof(block));
    return block;
  }

  Block* place_;
  Block canary_;
};

// Whether all of a slot is as free ones are: zeros, but for the byte at its end. `before_end`: its
// bytes before the last block, a multiple of 16.
MESH_ALWAYS_INLINE bool IsFreeSlot(const void* slot, size_t before_end, const SlotEnd& end) {
  internal::SlotBlock any = end.DifferenceFromFree();
  internal::VisitBlocks(static_cast<const internal::SlotBlock*>(slot), before_end,
                        [&](const internal::SlotBlock& block) { any |= block; });
  return internal::IsZero(any);
}

// For slots of a KiB at most, that the program has just used: a call costs as much as writing them.
MESH_ALWAYS_INLINE void ClearBlocks(void* at, size_t bytes) {
  internal::VisitBlocks(static_cast<internal::SlotBlock*>(at), bytes,
                        [](internal::SlotBlock& block) {
                          block = internal::SlotBlock{};
                          asm volatile("");  // else this becomes a call of memset
                        });
}

}  // namespace mesh
