// RunPacker: groups for where mappings are scarce.
//
//   leaders     | A | B | C | D | E |     neighbours in the backing: one mapping
//   followers   | f | g | h | i | j |     f, g, h fit B, C, D; i, j fit A, B
//   mappings    | f   g   h | i   j |     those of the followers: two
//
// Neighbours that show neighbouring pages are one mapping. So the leaders of groups are chosen
// before anything is placed, side by side; and the others are placed in the order of their
// addresses, as many in a row as fit leaders in a row: the longest run that any have room for,
// there where the leaders are fullest. The more leaders there are, the longer the runs: at a tenth
// live, 128 slots, a fourth of the spans that lead takes 0.37 mappings for each of all, a third
// 0.23; group by group it is 0.91, and leaves a sixth (docs/theory.md, "Mappings").
//
// A look is one row of a block, or one slot of a span; looks are bounded in number.
// Room: meshing; above base. Thread rule: works on the caller's arrays; allocates nothing.
#pragma once

#include <cstdint>
#include <span>

#include "src/base/bitmap.h"
#include "src/meshing/group_packer.h"
#include "src/meshing/packer_block.h"

namespace mesh {

// Followers that are placed in one go at most.
inline constexpr uint32_t kLongestRun = 16;

// Rows of a bit for each leader.
struct RunRows {
  std::span<uint64_t> joined;
  std::span<uint64_t> fits;
  std::span<uint64_t> starts;
  std::span<uint64_t> narrowed;
};

// Each array but `blocks` and `rows` has one element a span.
struct RunArrays {
  std::span<const uint8_t> joined;  // in: the span lies right behind the one before it, and a
                                    // leader's memory will; what follows a gap is not
  std::span<uint32_t> group;        // out: the group of a span, or kUnmeshed when it is alone
  std::span<uint32_t> members;      // out: the spans in each group
  std::span<uint32_t> count;        // scratch: bits set in each group
  std::span<PackerBlock> blocks;    // scratch: one for PackerBlock::kColumns leaders or fewer
  RunRows rows;                     // scratch: PackerBlock::kWords for each block
};

// How far a packing has come; begins as all zeros.
struct RunProgress {
  uint32_t built = 0;   // blocks of leaders
  uint32_t next = 0;    // followers before it have been looked at
  uint32_t groups = 0;  // of the result
  uint64_t looks = 0;   // taken so far
};

// Places as many of `spans` behind the first `leaders` of them as `most_looks` are enough for, or a
// run. Groups are in the order of their leaders. Where limits.max_looks run out, the rest stays
// alone. `counts`: bits set in each span.
// Returns: whether it is done; from then on progress->groups and the arrays hold the result.
bool PackRuns(std::span<const Bitmap> spans, std::span<const uint16_t> counts, uint32_t leaders,
              const PackLimits& limits, const RunArrays& arrays, uint64_t most_looks,
              RunProgress* progress);

}  // namespace mesh
