// Spans with objects at random slots, for tests of the packers.
#pragma once

#include <cstdint>
#include <vector>

#include "src/base/bitmap.h"
#include "src/base/random.h"

namespace mesh {

// Spans of `live` objects each.
inline std::vector<Bitmap> RandomSpans(uint32_t count, SlotIndex slots, uint32_t live,
                                       uint64_t seed) {
  Random random(seed);
  std::vector<Bitmap> spans(count);
  for (Bitmap& bits : spans) {
    while (bits.Count() < live) bits.Set(random.Below(slots));
  }
  return spans;
}

// Spans of which each slot is in use with a chance of `live`.
inline std::vector<Bitmap> ChanceSpans(uint32_t count, SlotIndex slots, double live,
                                       uint64_t seed) {
  Random random(seed);
  std::vector<Bitmap> spans(count);
  for (Bitmap& bits : spans) {
    for (SlotIndex slot = 0; slot < slots; slot++) {
      if (random.Below(10'000) < live * 10'000) bits.Set(slot);
    }
  }
  return spans;
}

}  // namespace mesh
