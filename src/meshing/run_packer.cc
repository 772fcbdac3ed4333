// See run_packer.h.
#include "src/meshing/run_packer.h"

#include <algorithm>
#include <bit>
#include <utility>

namespace mesh {
namespace {

constexpr uint32_t kColumns = PackerBlock::kColumns;
constexpr uint32_t kWords = PackerBlock::kWords;

class Packer {
 public:
  Packer(std::span<const Bitmap> spans, std::span<const uint16_t> counts, uint32_t leaders,
         const PackLimits& limits, const RunArrays& arrays, RunProgress* progress)
      : spans_(spans),
        counts_(counts),
        leaders_(leaders),
        blocks_((leaders + kColumns - 1) / kColumns),
        limits_(limits),
        arrays_(arrays),
        rows_(arrays.rows),
        p_(*progress) {}

  // Does the next piece: a block, or a run. False: all is done.
  bool Step() {
    if (p_.built < blocks_) {
      BuildBlock();
    } else if (p_.next < spans_.size() && p_.looks < limits_.max_looks) {
      PlaceRun();
    } else {
      NumberGroups();
      return false;
    }
    return true;
  }

 private:
  // A run of followers and the leader of the first of them.
  struct Run {
    uint32_t leader = 0;
    uint32_t length = 0;
  };

  void BuildBlock() {
    PackerBlock& block = arrays_.blocks[p_.built];
    block.Clear(limits_.slots);
    std::fill_n(&rows_.joined[size_t{p_.built} * kWords], kWords, 0);
    const uint32_t first = p_.built * kColumns;
    const uint32_t end = std::min(first + kColumns, leaders_);
    for (uint32_t leader = first; leader < end; leader++) {
      block.Open(leader - first);
      block.Add(leader - first, spans_[leader]);
      if (arrays_.joined[leader] != 0) rows_.joined[leader / 64] |= uint64_t{1} << (leader % 64);
      arrays_.group[leader] = leader;
      arrays_.members[leader] = 1;
      arrays_.count[leader] = counts_[leader];
      CloseIfFull(leader);
      p_.looks += counts_[leader];
    }
    if (++p_.built == blocks_) p_.next = leaders_;
  }

  void CloseIfFull(uint32_t leader) {
    if (arrays_.count[leader] < limits_.slots && arrays_.members[leader] < limits_.max_members) {
      return;
    }
    arrays_.blocks[leader / kColumns].Close(leader % kColumns);
  }

  void PlaceRun() {
    const Run run = FindRun();
    if (run.length == 0) {
      arrays_.group[p_.next++] = kUnmeshed;
      return;
    }
    for (uint32_t i = 0; i < run.length; i++, p_.next++) {
      const uint32_t leader = run.leader + i;
      arrays_.group[p_.next] = leader;
      arrays_.members[leader]++;
      arrays_.count[leader] += counts_[p_.next];
      arrays_.blocks[leader / kColumns].Add(leader % kColumns, spans_[p_.next]);
      CloseIfFull(leader);
    }
  }

  // The longest run from the next follower on.
  Run FindRun() {
    Run run;
    while (run.length < kLongestRun && Narrow(run.length)) {
      std::swap(rows_.starts, rows_.narrowed);
      run.length++;
    }
    if (run.length > 0) run.leader = FullestStart(run.length);
    return run;
  }

  // Of the leaders at which a run of `length` can start, writes those to `narrowed` at which one
  // more can. False: there are none.
  bool Narrow(uint32_t length) {
    const uint32_t span = p_.next + length;
    if (span >= spans_.size() || (length > 0 && arrays_.joined[span] == 0)) return false;
    for (uint32_t block = 0; block < blocks_; block++) {
      arrays_.blocks[block].FindFitting(spans_[span], &rows_.fits[size_t{block} * kWords]);
    }
    p_.looks += uint64_t{blocks_} * (counts_[span] + 1u);
    const uint32_t words = blocks_ * kWords;
    uint64_t any = 0;
    uint64_t above = 0;
    for (uint32_t w = words; w-- > 0;) {
      uint64_t fits = rows_.fits[w];
      if (length > 0) {
        const uint64_t here = fits & rows_.joined[w];
        fits = (here >> length | above << (64 - length)) & rows_.starts[w];
        above = here;
      }
      rows_.narrowed[w] = fits;
      any |= fits;
    }
    return any != 0;
  }

  uint32_t FullestStart(uint32_t length) {
    uint32_t best = 0;
    uint32_t best_count = 0;
    for (uint32_t w = 0; w < blocks_ * kWords; w++) {
      for (uint64_t rest = rows_.starts[w]; rest != 0; rest &= rest - 1) {
        const uint32_t leader = w * 64 + static_cast<uint32_t>(std::countr_zero(rest));
        uint32_t count = 1;
        for (uint32_t i = 0; i < length; i++) count += arrays_.count[leader + i];
        p_.looks++;
        if (count <= best_count) continue;
        best = leader;
        best_count = count;
      }
    }
    return best;
  }

  // Those whom nobody follows are no group.
  void NumberGroups() {
    std::fill(arrays_.group.begin() + p_.next, arrays_.group.begin() + spans_.size(), kUnmeshed);
    for (uint32_t leader = 0; leader < leaders_; leader++) {
      const uint32_t members = arrays_.members[leader];
      arrays_.count[leader] = members > 1 ? p_.groups : kUnmeshed;
      if (members > 1) arrays_.members[p_.groups++] = members;
    }
    for (uint32_t& group : arrays_.group.first(p_.next)) {
      if (group != kUnmeshed) group = arrays_.count[group];
    }
  }

  std::span<const Bitmap> spans_;
  std::span<const uint16_t> counts_;
  uint32_t leaders_;
  uint32_t blocks_;
  const PackLimits& limits_;
  const RunArrays& arrays_;
  RunRows rows_;
  RunProgress& p_;
};

}  // namespace

bool PackRuns(std::span<const Bitmap> spans, std::span<const uint16_t> counts, uint32_t leaders,
              const PackLimits& limits, const RunArrays& arrays, uint64_t most_looks,
              RunProgress* progress) {
  Packer packer(spans, counts, leaders, limits, arrays, progress);
  const uint64_t before = progress->looks;
  while (packer.Step()) {
    if (progress->looks - before >= most_looks) return false;
  }
  return true;
}

}  // namespace mesh
