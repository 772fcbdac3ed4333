// Tests of RunPacker on constructed and on random bitmaps.
#include "src/meshing/run_packer.h"

#include <gtest/gtest.h>

#include <vector>

#include "src/meshing/group_packer.h"
#include "test/meshing/random_spans.h"

namespace mesh {
namespace {

constexpr uint64_t kManyLooks = uint64_t{1} << 40;

struct Packed {
  std::vector<uint32_t> group;
  uint32_t groups = 0;
  RunProgress progress;
  int calls = 1;
};

struct Settings {
  uint32_t leaders = 1;
  SlotIndex slots = 64;
  uint64_t looks = kManyLooks;
  uint32_t max_members = 255;
  uint64_t most_looks = UINT64_MAX;
  std::vector<uint8_t> joined = {};  // empty: all are neighbours
};

// Packs, and checks what must hold of any result.
Packed Pack(const std::vector<Bitmap>& spans, const Settings& settings) {
  const size_t n = spans.size();
  const std::vector<uint16_t> counts = CountsOf(spans);
  std::vector<uint8_t> joined = settings.joined;
  if (joined.empty()) joined.assign(n, 1);
  RunBuffers buffers(n, settings.leaders);
  Packed packed;
  while (!PackRuns(spans, counts, settings.leaders,
                   {settings.slots, settings.max_members, settings.looks}, buffers.With(joined),
                   settings.most_looks, &packed.progress)) {
    packed.calls++;
  }
  const std::vector<uint32_t>& group = buffers.group;
  packed.group = group;
  packed.groups = packed.progress.groups;
  std::vector<Bitmap> seen(packed.groups);
  std::vector<uint32_t> size(packed.groups);
  uint32_t last = 0;
  for (size_t i = 0; i < n; i++) {
    if (group[i] == kUnmeshed) continue;
    if (group[i] >= packed.groups) {
      ADD_FAILURE() << "group " << group[i] << " of " << packed.groups;
      break;
    }
    if (i < settings.leaders) {  // one to each group, and in their order
      EXPECT_EQ(size[group[i]], 0u);
      EXPECT_TRUE(group[i] == 0 || group[i] == last + 1);
      last = group[i];
    }
    EXPECT_FALSE(seen[group[i]].Overlaps(spans[i]));
    seen[group[i]] |= spans[i];
    size[group[i]]++;
  }
  for (uint32_t g = 0; g < packed.groups; g++) {
    EXPECT_EQ(size[g], buffers.members[g]);
    EXPECT_GT(size[g], 1u);
    EXPECT_LE(size[g], settings.max_members);
  }
  return packed;
}

Bitmap Of(std::initializer_list<SlotIndex> slots) {
  Bitmap bits;
  for (SlotIndex slot : slots) bits.Set(slot);
  return bits;
}

using Groups = std::vector<uint32_t>;

// The picture of run_packer.h.
TEST(RunPacker, TheLongestRunGoesWhereItFits) {
  const std::vector<Bitmap> leaders = {Of({0, 9}), Of({1}), Of({2}), Of({3}),
                                       Of({0, 1, 2, 4, 5, 6, 7, 8})};
  const std::vector<Bitmap> followers = {Of({0, 4}), Of({5}), Of({6}), Of({1}), Of({2})};
  std::vector<Bitmap> spans = leaders;
  spans.insert(spans.end(), followers.begin(), followers.end());
  // The first three fit the second to the fourth, the last two the first two.
  EXPECT_EQ(Pack(spans, {.leaders = 5}).group, (Groups{0, 1, 2, 3, kUnmeshed, 1, 2, 3, 0, 1}));
}

TEST(RunPacker, TheFullestLeadersAreTaken) {
  const std::vector<Bitmap> spans = {Of({0}), Of({0, 1}), Of({0, 1, 2, 3}), Of({0, 2}), Of({3})};
  EXPECT_EQ(Pack(spans, {.leaders = 4}).group, (Groups{kUnmeshed, 0, kUnmeshed, kUnmeshed, 0}));
}

TEST(RunPacker, RunsEndWhereNeighboursDo) {
  const std::vector<Bitmap> spans = {Of({0, 9}), Of({1}), Of({2}), Of({0, 8}), Of({7}), Of({6})};
  EXPECT_EQ(Pack(spans, {.leaders = 3}).group, (Groups{kUnmeshed, 0, 1, 0, 1, 0}));
  // Of leaders: the third span's memory does not lie behind the second's.
  EXPECT_EQ(Pack(spans, {.leaders = 3, .joined = {0, 1, 0, 0, 1, 1}}).group[4], 0u);
}

TEST(RunPacker, NothingAndOne) {
  EXPECT_EQ(Pack({}, {.leaders = 0}).groups, 0u);
  EXPECT_EQ(Pack({Of({1})}, {.leaders = 1}).group, Groups{kUnmeshed});
  const std::vector<Bitmap> same(10, Of({1}));
  EXPECT_EQ(Pack(same, {.leaders = 3}).groups, 0u);
  EXPECT_EQ(Pack(same, {.leaders = 10}).groups, 0u);
  EXPECT_EQ(Pack(std::vector<Bitmap>(10), {.leaders = 1}).groups, 1u);
}

TEST(RunPacker, GroupsAreDisjoint) {
  for (SlotIndex slots : {8u, 64u, 256u}) {
    for (uint32_t live : {1u, 6u}) {
      for (uint32_t leaders : {1u, 63u, 64u, 200u, 512u, 513u, 900u}) {
        const std::vector<Bitmap> spans = RandomSpans(1000, slots, live, leaders);
        Pack(spans, {.leaders = leaders, .slots = slots});
        Pack(spans, {.leaders = leaders, .slots = slots, .max_members = 3});
      }
    }
  }
}

TEST(RunPacker, FullGroupsAreLeftAlone) {
  std::vector<Bitmap> spans(16);
  for (SlotIndex i = 0; i < 16; i++) spans[i].Set(i);
  EXPECT_EQ(Pack(spans, {.leaders = 1, .slots = 16}).groups, 1u);
  const Packed packed = Pack(spans, {.leaders = 2, .slots = 16, .max_members = 4});
  EXPECT_EQ(std::count(packed.group.begin(), packed.group.end(), kUnmeshed), 8);
}

// In one go or in many: the same groups.
TEST(RunPacker, CanStopAndGoOn) {
  const std::vector<Bitmap> spans = RandomSpans(1500, 128, 12, 4);
  const Packed whole = Pack(spans, {.leaders = 600, .slots = 128});
  const Packed pieces = Pack(spans, {.leaders = 600, .slots = 128, .most_looks = 50});
  EXPECT_EQ(whole.calls, 1);
  EXPECT_GT(pieces.calls, 100);
  EXPECT_EQ(pieces.group, whole.group);
}

// Looks that run out leave the rest alone; a step is a block or a run longer than it was to be.
TEST(RunPacker, LooksAreBounded) {
  const std::vector<Bitmap> spans = RandomSpans(6000, 128, 12, 5);
  const Packed whole = Pack(spans, {.leaders = 2000, .slots = 128});
  const uint64_t building = 2000 * 12;
  const Packed some =
      Pack(spans, {.leaders = 2000, .slots = 128, .looks = building + 100'000, .most_looks = 1000});
  EXPECT_LE(some.progress.looks, building + 110'000);
  EXPECT_LT(some.groups, whole.groups);
  EXPECT_GT(some.groups, 50u);
  EXPECT_EQ(some.group.back(), kUnmeshed);
  EXPECT_LT(some.progress.looks / static_cast<uint64_t>(some.calls), 10'000u);
}

// Neighbours whose groups are neighbours, as mappings; the leaders are one.
double MappingsPerSpan(const Packed& packed, uint32_t leaders) {
  uint32_t mappings = 1;
  for (size_t i = leaders; i < packed.group.size(); i++) {
    const uint32_t group = packed.group[i];
    const uint32_t before = i == leaders ? kUnmeshed : packed.group[i - 1];
    if (group == kUnmeshed ? before != kUnmeshed : before == kUnmeshed || group != before + 1) {
      mappings++;
    }
  }
  return mappings / static_cast<double>(packed.group.size());
}

double Left(const Packed& packed) {
  const auto alone = std::count(packed.group.begin(), packed.group.end(), kUnmeshed);
  return (packed.groups + static_cast<double>(alone)) / static_cast<double>(packed.group.size());
}

// docs/theory.md, "Mappings": group by group takes 0.85, 0.91 and 0.94 mappings for each span and
// leaves 0.27, 0.16 and 0.12 of them.
TEST(RunPacker, TakesFarFewerMappingsThanGroupByGroup) {
  struct Row {
    SlotIndex slots;
    uint32_t leaders;
    double left;
    double mappings;
  };
  for (const Row& row : {Row{256, 3500, 0.36, 0.45}, Row{128, 2500, 0.26, 0.39},
                         Row{128, 3000, 0.305, 0.30}, Row{64, 2000, 0.21, 0.27}}) {
    const std::vector<Bitmap> spans = MixedSpans(10'000, row.slots, 0.1, 0, 3);
    const Packed packed = Pack(spans, {.leaders = row.leaders, .slots = row.slots});
    EXPECT_LT(Left(packed), row.left) << row.slots << " slots, " << row.leaders;
    EXPECT_LT(MappingsPerSpan(packed, row.leaders), row.mappings)
        << row.slots << " slots, " << row.leaders;
  }
}

}  // namespace
}  // namespace mesh
