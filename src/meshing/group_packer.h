// GroupPacker: groups of more than two, by first fit decreasing.
//
// Spans are taken fullest first, and each joins the first open group that none of its slots is set
// in, or opens a group of its own. Finding the fewest groups is minimum clique cover, NP-hard
// (PLDI'19 s.5.1); at low occupancy groups reach far below what pairs can (docs/design.md, "What to
// mesh"). Which of 64 groups have a slot set is one word, so that a span is tried with 64 groups by
// a look at a word for each of its slots. The number of looks is bounded: where all groups cannot
// be tried, the newest are, which have the most room. Room: meshing; above base. Thread rule: works
// on the caller's arrays; allocates nothing.
#pragma once

#include <cstdint>
#include <span>

#include "src/base/bitmap.h"
#include "src/meshing/split_mesher.h"

namespace mesh {

// 64 groups, a bit each.
struct PackerBlock {
  uint64_t closed;               // those that nothing fits in, and those that are not there yet
  uint64_t with[Bitmap::kBits];  // [slot]: those that have it set
};

// Scratch and result of one packing; each array has one element a span.
struct PackerArrays {
  std::span<uint32_t> order;        // scratch: spans, fullest first
  std::span<uint32_t> group;        // out: the group of a span, or kUnmeshed when it is alone
  std::span<Bitmap> group_bits;     // out: the bits of each group
  std::span<uint32_t> group_count;  // out: the bits set in each group
  std::span<uint32_t> members;      // out: the spans in each group
  std::span<PackerBlock> blocks;    // scratch: one for 64 spans or fewer
};

struct PackLimits {
  SlotIndex slots = 0;       // slots of a span
  uint32_t max_members = 0;  // spans that a group may have
  uint64_t max_looks = 0;    // in all
};

// How far a packing has come; begins as all zeros.
struct PackProgress {
  uint32_t next = 0;        // spans before it, in the order, are in a group
  uint32_t groups = 0;      // groups so far
  uint32_t first_open = 0;  // every group before it is closed
};

// Packs as much of `spans` as `most_looks` (or one span) are enough for. The arrays
// stay as they are from call to call; result as PackGroups(), once this returns true.
bool PackSome(std::span<const Bitmap> spans, std::span<const uint16_t> counts,
              const PackLimits& limits, PackerArrays arrays, uint64_t most_looks,
              PackProgress* progress);

// Packs `spans`, whose bit counts are `counts`.
// Returns: groups, those of a single span included; spans.size() minus it is the spans freed.
// Cost:    limits.max_looks at most, and one pass to sort.
uint32_t PackGroups(std::span<const Bitmap> spans, std::span<const uint16_t> counts,
                    const PackLimits& limits, PackerArrays arrays);

// Numbers the groups of two spans and more anew, in the order in which the first of each comes when
// spans are sorted by `keys`, which rise with their addresses; groups of one span become kUnmeshed.
// Who hands out backing pages in this order gives neighbouring spans neighbouring pages, as far as
// they are the first of their groups, and the kernel makes one mapping of them: pairs cost a third
// fewer mappings. `keys`: one for each span that was packed; order and group_count become scratch.
// Returns: groups left.
uint32_t NumberByAddress(std::span<const uint32_t> keys, uint32_t groups, PackerArrays arrays);

}  // namespace mesh
