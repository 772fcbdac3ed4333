// What tests of the packers give them: spans with objects at random slots, counts, and arrays.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "src/base/bitmap.h"
#include "src/base/random.h"
#include "src/meshing/packer_block.h"
#include "src/meshing/run_packer.h"

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

// Spans of which each slot is in use with a chance of `live`, or so much less or more in each half
// of them.
inline std::vector<Bitmap> MixedSpans(uint32_t count, SlotIndex slots, double live, double spread,
                                      uint64_t seed) {
  Random random(seed);
  std::vector<Bitmap> spans(count);
  for (Bitmap& bits : spans) {
    double chance = live + (random.Below(2) == 0 ? -spread : spread);
    for (SlotIndex slot = 0; slot < slots; slot++) {
      if (random.Below(1000) < chance * 1000) bits.Set(slot);
    }
  }
  return spans;
}

// Bits set in each span.
inline std::vector<uint16_t> CountsOf(const std::vector<Bitmap>& spans) {
  std::vector<uint16_t> counts;
  for (const Bitmap& bits : spans) counts.push_back(static_cast<uint16_t>(bits.Count()));
  return counts;
}

// What PackRuns() works on, for so many spans of which so many lead.
struct RunBuffers {
  RunBuffers(size_t spans, uint32_t leaders)
      : group(spans), members(spans), count(spans), blocks(leaders / PackerBlock::kColumns + 1) {
    for (std::vector<uint64_t>& row : rows) row.resize(blocks.size() * PackerBlock::kWords);
  }
  RunArrays With(const std::vector<uint8_t>& joined) {
    return {joined, group, members, count, blocks, {rows[0], rows[1], rows[2], rows[3]}};
  }

  std::vector<uint32_t> group;
  std::vector<uint32_t> members;
  std::vector<uint32_t> count;
  std::vector<PackerBlock> blocks;
  std::vector<uint64_t> rows[4];
};

}  // namespace mesh
