// See group_packer.h.
#include "src/meshing/group_packer.h"

#include <algorithm>

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
  uint64_t tests() const { return tests_; }

  void Place(uint32_t span, const Bitmap& bits, uint32_t count, uint64_t tests) {
    uint32_t group = Find(bits, count, tests);
    if (group == kUnmeshed) {
      group = groups_++;
      arrays_.group_bits[group] = Bitmap();
      arrays_.group_count[group] = 0;
      arrays_.members[group] = 0;
    }
    arrays_.group[span] = group;
    arrays_.group_bits[group] |= bits;
    arrays_.group_count[group] += count;
    arrays_.members[group]++;
    while (first_open_ < groups_ && IsClosed(first_open_)) first_open_++;
  }

 private:
  bool IsClosed(uint32_t group) const {
    return arrays_.group_count[group] >= limits_.slots ||
           arrays_.members[group] >= limits_.max_members;
  }

  bool Fits(uint32_t group, const Bitmap& bits, uint32_t count) const {
    return arrays_.group_count[group] + count <= limits_.slots &&
           arrays_.members[group] < limits_.max_members &&
           !arrays_.group_bits[group].Overlaps(bits);
  }

  // The first group that fits, of the `tests` newest: those have the most room.
  uint32_t Find(const Bitmap& bits, uint32_t count, uint64_t tests) {
    uint32_t open = groups_ - first_open_;
    if (open == 0) return kUnmeshed;
    uint32_t first = tests >= open ? first_open_ : groups_ - static_cast<uint32_t>(tests);
    for (uint32_t group = first; group < groups_; group++) {
      tests_++;
      if (Fits(group, bits, count)) return group;
    }
    return kUnmeshed;
  }

  const PackLimits& limits_;
  PackerArrays arrays_;
  uint32_t groups_;
  uint32_t first_open_;
  uint64_t tests_ = 0;
};

}  // namespace

uint32_t PackGroups(std::span<const Bitmap> spans, std::span<const uint16_t> counts,
                    const PackLimits& limits, PackerArrays arrays) {
  PackProgress progress;
  PackSome(spans, counts, limits, arrays, UINT64_MAX, &progress);
  return progress.groups;
}

bool PackSome(std::span<const Bitmap> spans, std::span<const uint16_t> counts,
              const PackLimits& limits, PackerArrays arrays, uint64_t most_tests,
              PackProgress* progress) {
  if (spans.empty()) return true;
  if (progress->next == 0) SortFullestFirst(counts, arrays.order);
  uint64_t tests = limits.max_tests / spans.size();
  Packer packer(limits, arrays, progress);
  do {
    uint32_t span = arrays.order[progress->next++];
    packer.Place(span, spans[span], counts[span], tests > 0 ? tests : 1);
  } while (progress->next < spans.size() && packer.tests() < most_tests);
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
