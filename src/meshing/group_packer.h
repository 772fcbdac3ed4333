// GroupPacker: groups of more than two spans.
//
// Finding the fewest groups is minimum clique cover, NP-hard (PLDI'19 s.5.1); at low occupancy
// groups reach far below what pairs can (docs/design.md, "What to mesh"). Two ways:
//
//   group by group   A group begins with the fullest span that is left, and takes, as long as any
//                    fits, the one with the most bits, less what the others that fit would lose by
//                    it: the more of them need its slots, the worse. In the spirit of Leighton's
//                    RLF, which colours graphs (1979).
//   first fit        Spans are taken fullest first, and each joins the first open group that none
//                    of its slots is set in, or opens one. As good where slots are few, and much
//                    faster. Where not all groups can be tried, the newest are: they have most
//                    room.
//
// Columns of a block are spans in the one way, groups in the other. A look is one row of a block,
// or one slot of a span; looks are bounded in number. Room: meshing; above base. Thread rule: works
// on the caller's arrays; allocates nothing.
#pragma once

#include <cstdint>
#include <span>

#include "src/base/bitmap.h"
#include "src/meshing/packer_block.h"
#include "src/meshing/split_mesher.h"

namespace mesh {

// Scratch and result of one packing; each array has one element a span.
struct PackerArrays {
  std::span<uint32_t> order;        // scratch: spans, fullest first
  std::span<uint32_t> group;        // out: the group of a span, or kUnmeshed when it is alone
  std::span<Bitmap> group_bits;     // out: the bits of each group
  std::span<uint32_t> group_count;  // out: the bits set in each group
  std::span<uint32_t> members;      // out: the spans in each group
  std::span<PackerBlock> blocks;    // scratch: one for PackerBlock::kColumns spans or fewer
};

struct PackLimits {
  SlotIndex slots = 0;       // slots of a span
  uint32_t max_members = 0;  // spans that a group may have
  uint64_t max_looks = 0;    // in all, or as many as one block a span takes
};

// How far a packing has come; begins as all zeros.
struct PackProgress {
  enum class Stage : uint8_t { kBegin, kBuild, kGroupByGroup, kFirstFit, kDone };

  Stage stage = Stage::kBegin;
  uint32_t built = 0;       // blocks of spans
  uint32_t next = 0;        // spans before it, in the order, are in a group
  uint32_t groups = 0;      // groups so far
  uint32_t first_fit = 0;   // the first group that blocks of groups tell of
  uint32_t first_open = 0;  // every group before it is closed
  uint64_t looks = 0;       // taken so far
};

// Packs as much of `spans` as `most_looks` are enough for, or a group. The arrays stay as they are
// from call to call; result as PackGroups(), once this returns true.
bool PackSome(std::span<const Bitmap> spans, std::span<const uint16_t> counts,
              const PackLimits& limits, PackerArrays arrays, uint64_t most_looks,
              PackProgress* progress);

// Packs `spans`, whose bit counts are `counts`.
// Returns: groups, those of a single span included; spans.size() minus it is the spans freed.
// Cost:    limits.max_looks, a look for each slot set, and one pass to sort.
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
