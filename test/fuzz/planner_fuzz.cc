// SplitMesher, GroupPacker and RunPacker on any bitmaps: what they pair or pack is disjoint and
// complete.
#include <vector>

#include "src/base/check.h"
#include "src/meshing/group_packer.h"
#include "src/meshing/run_packer.h"
#include "src/meshing/split_mesher.h"
#include "test/fuzz/input.h"
#include "test/meshing/random_spans.h"

namespace mesh {
namespace {

constexpr uint32_t kMaxSpans = 200;

void CheckPairs(const std::vector<Bitmap>& spans, uint32_t probes, uint64_t seed) {
  Random random(seed);
  std::vector<uint32_t> order(spans.size());
  std::vector<uint32_t> partner(spans.size());
  uint32_t pairs = SplitMesher(spans, probes, random, order, partner);
  uint32_t paired = 0;
  for (uint32_t i = 0; i < spans.size(); i++) {
    if (partner[i] == kUnmeshed) continue;
    paired++;
    MESH_CHECK(partner[i] < spans.size() && partner[i] != i && partner[partner[i]] == i);
    MESH_CHECK(!spans[i].Overlaps(spans[partner[i]]));
  }
  MESH_CHECK(paired == 2 * pairs);
}

void CheckGroups(const std::vector<Bitmap>& spans, const PackLimits& limits) {
  size_t count = spans.size();
  const std::vector<uint16_t> counts = CountsOf(spans);
  std::vector<uint32_t> order(count), group(count), group_count(count), members(count);
  std::vector<Bitmap> group_bits(count);
  std::vector<PackerBlock> blocks(count / PackerBlock::kColumns + 1);
  PackerArrays arrays{order, group, group_bits, group_count, members, blocks};
  uint32_t groups = PackGroups(spans, counts, limits, arrays);
  MESH_CHECK(groups <= count);
  // In steps: the same.
  const std::vector<uint32_t> whole = group;
  PackProgress progress;
  while (!PackSome(spans, counts, limits, arrays, 1, &progress)) {
  }
  MESH_CHECK(spans.empty() || (progress.groups == groups && group == whole));
  std::vector<Bitmap> bits(count);
  std::vector<uint32_t> sizes(count);
  for (size_t i = 0; i < count; i++) {
    MESH_CHECK(group[i] < groups);
    MESH_CHECK(!bits[group[i]].Overlaps(spans[i]));
    bits[group[i]] |= spans[i];
    sizes[group[i]]++;
  }
  for (uint32_t g = 0; g < groups; g++) {
    MESH_CHECK(bits[g] == group_bits[g] && bits[g].Count() == group_count[g]);
    MESH_CHECK(sizes[g] == members[g] && sizes[g] > 0 && sizes[g] <= limits.max_members);
  }
}

void CheckRuns(const std::vector<Bitmap>& spans, const std::vector<uint8_t>& joined,
               uint32_t leaders, const PackLimits& limits) {
  const size_t count = spans.size();
  const std::vector<uint16_t> counts = CountsOf(spans);
  RunBuffers buffers(count, leaders);
  const RunArrays arrays = buffers.With(joined);
  const std::vector<uint32_t>& group = buffers.group;
  RunProgress whole;
  MESH_CHECK(PackRuns(spans, counts, leaders, limits, arrays, UINT64_MAX, &whole));
  const std::vector<uint32_t> groups = group;
  RunProgress progress;
  while (!PackRuns(spans, counts, leaders, limits, arrays, 1, &progress)) {
  }
  MESH_CHECK(progress.groups == whole.groups && group == groups);
  std::vector<Bitmap> bits(whole.groups);
  std::vector<uint32_t> sizes(whole.groups);
  for (size_t i = 0; i < count; i++) {
    if (group[i] == kUnmeshed) continue;
    MESH_CHECK(group[i] < whole.groups && (i >= leaders || sizes[group[i]] == 0));
    MESH_CHECK(!bits[group[i]].Overlaps(spans[i]));
    bits[group[i]] |= spans[i];
    sizes[group[i]]++;
  }
  for (uint32_t g = 0; g < whole.groups; g++) {
    MESH_CHECK(sizes[g] == buffers.members[g] && sizes[g] > 1 && sizes[g] <= limits.max_members);
  }
}

}  // namespace
}  // namespace mesh

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  mesh::FuzzInput input(data, size);
  mesh::SlotIndex slots = 1 + input.Below(mesh::Bitmap::kBits);
  uint32_t probes = input.Below(100);
  // Few looks or many: first fit, or group by group.
  mesh::PackLimits limits{slots, 1 + input.Below(40), uint64_t{1} << input.Below(24)};
  uint32_t most_live = 1 + input.Below(40);
  const uint32_t share = input.Below(256);
  std::vector<mesh::Bitmap> spans;
  std::vector<uint8_t> joined;
  while (!input.empty() && spans.size() < mesh::kMaxSpans) {
    mesh::Bitmap bits;
    for (uint32_t live = input.Below(most_live); live > 0; live--) bits.Set(input.Below(slots));
    spans.push_back(bits);
    joined.push_back(input.Below(8) != 0);
  }
  mesh::CheckPairs(spans, probes, size);
  mesh::CheckGroups(spans, limits);
  const auto leaders = static_cast<uint32_t>(spans.size() * share / 255);
  mesh::CheckRuns(spans, joined, leaders, limits);
  return 0;
}
