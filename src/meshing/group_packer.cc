// See group_packer.h.
#include "src/meshing/group_packer.h"

#include <algorithm>
#include <bit>

#include "src/base/check.h"

namespace mesh {
namespace {

using Stage = PackProgress::Stage;
constexpr uint32_t kColumns = PackerBlock::kColumns;

// Spans with fewer objects on average are packed as well by first fit, in a fiftieth of the time.
constexpr uint64_t kManyObjects = 8;

// Looks that there have to be for each span to go group by group. It takes 150 (of 300 spans) to
// 1700 (of 22,000); where half of all looks are gone, first fit goes on.
constexpr uint64_t kLooksPerSpan = 4096;

// Spans that are weighed against each other: the fullest that fit, and up to a block more. Four
// times as many make as few groups, and take twice the time.
constexpr uint32_t kCandidates = 64;

// Counting sort of span indices by bits set, most first.
void SortFullestFirst(std::span<const uint16_t> counts, std::span<uint32_t> order) {
  uint32_t starts[Bitmap::kBits + 2] = {};
  for (uint16_t count : counts) starts[Bitmap::kBits - count + 1]++;
  for (uint32_t i = 1; i < Bitmap::kBits + 2; i++) starts[i] += starts[i - 1];
  for (uint32_t i = 0; i < counts.size(); i++) order[starts[Bitmap::kBits - counts[i]]++] = i;
}

class Packer {
 public:
  Packer(std::span<const Bitmap> spans, std::span<const uint16_t> counts, const PackLimits& limits,
         const PackerArrays& arrays, PackProgress* progress)
      : spans_(spans), counts_(counts), limits_(limits), arrays_(arrays), p_(*progress) {}

  // Does the next piece: a block, a group, or a span.
  void Step() {
    switch (p_.stage) {
      case Stage::kBegin:
        return Begin();
      case Stage::kBuild:
        return BuildBlock();
      case Stage::kGroupByGroup:
        return p_.looks > limits_.max_looks / 2 ? BeginFirstFit() : PackGroup();
      case Stage::kFirstFit:
        return Place();
      case Stage::kDone:
        return;
    }
  }

 private:
  // Spans that fit into the group that is being made, by their places in the order.
  struct Candidates {
    uint32_t next_block = 0;  // which of the spans behind fit, is not known
    uint32_t count = 0;
    uint32_t places[kCandidates + kColumns];
    uint32_t bits = 0;                // that are set in them
    uint32_t popular[Bitmap::kBits];  // [slot]: so many have it set
  };

  uint32_t count() const { return static_cast<uint32_t>(spans_.size()); }
  const Bitmap& BitsAt(uint32_t place) const { return spans_[arrays_.order[place]]; }
  uint32_t CountAt(uint32_t place) const { return counts_[arrays_.order[place]]; }

  void Begin() {
    SortFullestFirst(counts_, arrays_.order);
    std::fill_n(arrays_.group.begin(), count(), kUnmeshed);
    uint64_t objects = 0;
    for (uint16_t in_use : counts_) objects += in_use;
    bool is_worth_it = objects >= kManyObjects * count();
    bool may_weigh = limits_.max_looks / count() >= kLooksPerSpan;
    p_.stage = is_worth_it && may_weigh ? Stage::kBuild : Stage::kFirstFit;
  }

  uint32_t OpenGroup() {
    uint32_t group = p_.groups++;
    arrays_.group_bits[group] = Bitmap();
    arrays_.group_count[group] = 0;
    arrays_.members[group] = 0;
    return group;
  }

  void Join(uint32_t group, uint32_t place) {
    arrays_.group[arrays_.order[place]] = group;
    arrays_.group_bits[group] |= BitsAt(place);
    arrays_.group_count[group] += CountAt(place);
    arrays_.members[group]++;
  }

  bool IsClosed(uint32_t group) const {
    return arrays_.group_count[group] >= limits_.slots ||
           arrays_.members[group] >= limits_.max_members;
  }

  // The next span that is in no group. False: there is none.
  bool SkipTaken() {
    while (p_.next < count() && arrays_.group[arrays_.order[p_.next]] != kUnmeshed) p_.next++;
    if (p_.next == count()) p_.stage = Stage::kDone;
    return p_.next < count();
  }

  // ---- Group by group ----

  void BuildBlock() {
    PackerBlock& block = arrays_.blocks[p_.built];
    block.Clear(limits_.slots);
    uint32_t first = p_.built * kColumns;
    for (uint32_t column = 0; column < kColumns && first + column < count(); column++) {
      block.Open(column);
      block.Add(column, BitsAt(first + column));
      p_.looks += CountAt(first + column);
    }
    if (++p_.built * kColumns >= count()) p_.stage = Stage::kGroupByGroup;
  }

  void PackGroup() {
    if (!SkipTaken()) return;
    uint32_t group = OpenGroup();
    Candidates candidates;
    candidates.next_block = p_.next / kColumns;
    uint32_t taken = p_.next;
    Take(group, taken);
    while (!IsClosed(group)) {
      Filter(group, taken, &candidates);
      Refill(group, &candidates);
      if (candidates.count == 0) return;
      taken = Best(group, candidates);
      Take(group, taken);
    }
  }

  void Take(uint32_t group, uint32_t place) {
    Join(group, place);
    arrays_.blocks[place / kColumns].Close(place % kColumns);
  }

  // Drops what was taken, and those that do not fit any more. (A span without objects always fits.)
  void Filter(uint32_t group, uint32_t taken, Candidates* candidates) {
    Candidates& c = *candidates;
    const Bitmap bits = arrays_.group_bits[group];
    std::fill_n(c.popular, limits_.slots, 0);
    c.bits = 0;
    p_.looks += c.count;
    uint32_t before = c.count;
    c.count = 0;
    for (uint32_t i = 0; i < before; i++) {
      uint32_t place = c.places[i];
      if (place != taken && !BitsAt(place).Overlaps(bits)) Note(place, &c);
    }
  }

  void Refill(uint32_t group, Candidates* candidates) {
    Candidates& c = *candidates;
    for (; c.count < kCandidates && c.next_block < p_.built; c.next_block++) {
      p_.looks += arrays_.group_count[group];
      arrays_.blocks[c.next_block].ForEachFitting(arrays_.group_bits[group], [&](uint32_t column) {
        Note(c.next_block * kColumns + column, &c);
        return true;
      });
    }
  }

  void Note(uint32_t place, Candidates* candidates) {
    Candidates& c = *candidates;
    c.places[c.count++] = place;
    c.bits += CountAt(place);
    p_.looks += CountAt(place);
    BitsAt(place).ForEachSet([&](SlotIndex slot) { c.popular[slot]++; });
  }

  // The candidate with the most bits, less what others lose. Of n candidates with b bits each on
  // average, one that shuts out a share of n leaves the group so much less to choose from: a loss
  // of bits in proportion to how many more spans it has room for. Half of that was best; none at
  // all is first fit, and the whole takes many small spans.
  uint32_t Best(uint32_t group, const Candidates& c) {
    uint32_t room = limits_.slots - arrays_.group_count[group];
    uint32_t average = c.bits / c.count;
    int64_t weight = room > average ? room - average : 0;
    int64_t best_value = INT64_MIN;
    uint32_t best = 0;
    for (uint32_t i = 0; i < c.count; i++) {
      uint32_t own = CountAt(c.places[i]);
      int64_t value = int64_t{2} * own * c.bits;
      if (value <= best_value) break;  // nor do those behind it, which have no more bits
      uint32_t wanted = 0;
      BitsAt(c.places[i]).ForEachSet([&](SlotIndex slot) { wanted += c.popular[slot]; });
      p_.looks += own;
      value -= weight * (wanted - own);
      if (value <= best_value) continue;
      best_value = value;
      best = c.places[i];
    }
    return best;
  }

  // ---- First fit ----

  // Groups that are there have no room for any span that is left.
  void BeginFirstFit() {
    p_.first_fit = p_.first_open = p_.groups;
    p_.stage = Stage::kFirstFit;
  }

  void Place() {
    if (!SkipTaken()) return;
    const Bitmap& bits = BitsAt(p_.next);
    uint32_t group = Find(bits, CountAt(p_.next));
    if (group == kUnmeshed) group = OpenColumn();
    Join(group, p_.next);
    PackerBlock& block = BlockOf(group);
    block.Add(ColumnOf(group), bits);
    if (!IsClosed(group)) return;
    block.Close(ColumnOf(group));
    while (p_.first_open < p_.groups && IsClosed(p_.first_open)) p_.first_open++;
  }

  PackerBlock& BlockOf(uint32_t group) { return arrays_.blocks[(group - p_.first_fit) / kColumns]; }
  uint32_t ColumnOf(uint32_t group) const { return (group - p_.first_fit) % kColumns; }

  uint32_t OpenColumn() {
    uint32_t group = OpenGroup();
    if (ColumnOf(group) == 0) BlockOf(group).Clear(limits_.slots);
    BlockOf(group).Open(ColumnOf(group));
    return group;
  }

  // The first open group that has none of `bits` set, in as many of the newest blocks as the looks
  // are enough for.
  uint32_t Find(const Bitmap& bits, uint32_t looks) {
    uint32_t first = (p_.first_open - p_.first_fit) / kColumns;
    uint32_t end = (p_.groups - p_.first_fit + kColumns - 1) / kColumns;
    uint64_t most_looks =
        (limits_.max_looks - std::min(p_.looks, limits_.max_looks)) / (count() - p_.next);
    uint64_t most_blocks = most_looks / (looks > 0 ? looks : 1);
    if (most_blocks == 0) most_blocks = 1;
    if (most_blocks < end - first) first = end - static_cast<uint32_t>(most_blocks);
    uint32_t found = kUnmeshed;
    for (uint32_t i = first; i < end && found == kUnmeshed; i++) {
      p_.looks += looks;
      arrays_.blocks[i].ForEachFitting(bits, [&](uint32_t column) {
        found = p_.first_fit + i * kColumns + column;
        return false;
      });
    }
    return found;
  }

  std::span<const Bitmap> spans_;
  std::span<const uint16_t> counts_;
  const PackLimits& limits_;
  const PackerArrays& arrays_;
  PackProgress& p_;
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
  Packer packer(spans, counts, limits, arrays, progress);
  uint64_t before = progress->looks;
  while (progress->stage != Stage::kDone && progress->looks - before < most_looks) packer.Step();
  return progress->stage == Stage::kDone;
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
