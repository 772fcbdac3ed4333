// See group_packer.h.
#include "src/meshing/group_packer.h"

#include <algorithm>
#include <bit>

#include "src/base/check.h"

namespace mesh {
namespace {

// Counting sort of span indices by bits set, most first.
void SortFullestFirst(std::span<const uint16_t> counts, std::span<uint32_t> order) {
  uint32_t starts[Bitmap::kBits + 2] = {};
  for (uint16_t count : counts) starts[Bitmap::kBits - count + 1]++;
  for (uint32_t i = 1; i < Bitmap::kBits + 2; i++) starts[i] += starts[i - 1];
  for (uint32_t i = 0; i < counts.size(); i++) order[starts[Bitmap::kBits - counts[i]]++] = i;
}

class Packer {
 public:
  Packer(const PackLimits& limits, PackerArrays arrays, PackProgress* progress)
      : limits_(limits),
        arrays_(arrays),
        groups_(progress->groups),
        first_open_(progress->first_open) {}

  uint32_t groups() const { return groups_; }
  uint32_t first_open() const { return first_open_; }
  uint64_t looks() const { return looks_; }

  void Place(uint32_t span, const Bitmap& bits, uint64_t most_looks) {
    uint32_t count = 0;
    bits.ForEachSet([&](SlotIndex slot) { slots_[count++] = slot; });
    uint32_t group = Find(count, most_looks);
    if (group == kUnmeshed) group = Open();
    PackerBlock& block = arrays_.blocks[group / kBlock];
    uint64_t bit = uint64_t{1} << (group % kBlock);
    for (uint32_t i = 0; i < count; i++) block.with[slots_[i]] |= bit;
    arrays_.group[span] = group;
    arrays_.group_bits[group] |= bits;
    arrays_.group_count[group] += count;
    arrays_.members[group]++;
    if (!IsClosed(group)) return;
    block.closed |= bit;
    while (first_open_ < groups_ && IsClosed(first_open_)) first_open_++;
  }

 private:
  static constexpr uint32_t kBlock = 64;

  bool IsClosed(uint32_t group) const {
    return arrays_.group_count[group] >= limits_.slots ||
           arrays_.members[group] >= limits_.max_members;
  }

  uint32_t Open() {
    uint32_t group = groups_++;
    PackerBlock& block = arrays_.blocks[group / kBlock];
    if (group % kBlock == 0) {
      block.closed = ~uint64_t{0};
      std::fill_n(block.with, limits_.slots, 0);
    }
    block.closed &= ~(uint64_t{1} << (group % kBlock));
    arrays_.group_bits[group] = Bitmap();
    arrays_.group_count[group] = 0;
    arrays_.members[group] = 0;
    return group;
  }

  // The first open group that has none of the first `count` of slots_ set, in as many of the newest
  // blocks as the looks are enough for.
  uint32_t Find(uint32_t count, uint64_t most_looks) {
    uint32_t first = first_open_ / kBlock;
    uint32_t end = (groups_ + kBlock - 1) / kBlock;
    uint64_t most_blocks = most_looks / (count > 0 ? count : 1);
    if (most_blocks == 0) most_blocks = 1;
    if (most_blocks < end - first) first = end - static_cast<uint32_t>(most_blocks);
    for (uint32_t i = first; i < end; i++) {
      const PackerBlock& block = arrays_.blocks[i];
      uint64_t unfit = block.closed;
      for (uint32_t k = 0; k < count; k++) unfit |= block.with[slots_[k]];
      looks_ += count;
      if (~unfit != 0) return i * kBlock + static_cast<uint32_t>(std::countr_one(unfit));
    }
    return kUnmeshed;
  }

  const PackLimits& limits_;
  PackerArrays arrays_;
  uint32_t groups_;
  uint32_t first_open_;
  uint64_t looks_ = 0;
  SlotIndex slots_[Bitmap::kBits] = {};  // of the span that is being placed
};

}  // namespace

uint32_t PackGroups(std::span<const Bitmap> spans, std::span<const uint16_t> counts,
                    const PackLimits& limits, PackerArrays arrays) {
  PackProgress progress;
  PackSome(spans, counts, limits, arrays, UINT64_MAX, &progress);
  return progress.groups;
}

bool PackSome(std::span<const Bitmap> spans, std::span<const uint16_t> counts,
              const PackLimits& limits, PackerArrays arrays, uint64_t most_looks,
              PackProgress* progress) {
  if (spans.empty()) return true;
  if (progress->next == 0) SortFullestFirst(counts, arrays.order);
  uint64_t looks = limits.max_looks / spans.size();
  Packer packer(limits, arrays, progress);
  do {
    uint32_t span = arrays.order[progress->next++];
    packer.Place(span, spans[span], looks);
  } while (progress->next < spans.size() && packer.looks() < most_looks);
  progress->groups = packer.groups();
  progress->first_open = packer.first_open();
  return progress->next == spans.size();
}

uint32_t NumberByAddress(std::span<const uint32_t> keys, uint32_t groups, PackerArrays arrays) {
  uint32_t listed = 0;
  for (uint32_t span = 0; span < keys.size(); span++) {
    if (arrays.members[arrays.group[span]] > 1) {
      arrays.order[listed++] = span;
    } else {
      arrays.group[span] = kUnmeshed;
    }
  }
  std::span<uint32_t> order = arrays.order.first(listed);
  std::sort(order.begin(), order.end(), [&](uint32_t a, uint32_t b) { return keys[a] < keys[b]; });
  std::span<uint32_t> number = arrays.group_count.first(groups);
  std::fill(number.begin(), number.end(), kUnmeshed);
  uint32_t numbered = 0;
  for (uint32_t span : order) {
    uint32_t& now = number[arrays.group[span]];
    if (now == kUnmeshed) now = numbered++;
    arrays.group[span] = now;
  }
  std::fill_n(arrays.members.begin(), numbered, 0);
  for (uint32_t span : order) arrays.members[arrays.group[span]]++;
  return numbered;
}

}  // namespace mesh
