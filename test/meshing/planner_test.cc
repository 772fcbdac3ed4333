// Tests of SplitMesher and GroupPacker on constructed and on random bitmaps.
#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "src/meshing/group_packer.h"
#include "src/meshing/split_mesher.h"
#include "test/meshing/random_spans.h"

namespace mesh {
namespace {

uint32_t RunSplitMesher(const std::vector<Bitmap>& spans, uint32_t probes,
                        std::vector<uint32_t>* partner, uint64_t seed = 1) {
  Random random(seed);
  std::vector<uint32_t> order(spans.size());
  partner->resize(spans.size());
  return SplitMesher(spans, probes, random, order, *partner);
}

TEST(SplitMesher, EmptyAndSingle) {
  std::vector<uint32_t> partner;
  EXPECT_EQ(RunSplitMesher({}, 64, &partner), 0u);
  EXPECT_EQ(RunSplitMesher(RandomSpans(1, 64, 1, 1), 64, &partner), 0u);
}

TEST(SplitMesher, PairsAreDisjointAndMutual) {
  std::vector<Bitmap> spans = RandomSpans(1001, 64, 12, 3);
  std::vector<uint32_t> partner;
  uint32_t pairs = RunSplitMesher(spans, kProbeLimit, &partner);
  uint32_t paired = 0;
  for (uint32_t i = 0; i < spans.size(); i++) {
    if (partner[i] == kUnmeshed) continue;
    paired++;
    EXPECT_EQ(partner[partner[i]], i);
    EXPECT_FALSE(spans[i].Overlaps(spans[partner[i]]));
  }
  EXPECT_EQ(paired, 2 * pairs);
  EXPECT_GT(pairs, 0u);
}

TEST(SplitMesher, NeverPairsWhatOverlaps) {
  std::vector<Bitmap> spans(100);
  for (Bitmap& bits : spans) bits.Set(3);
  std::vector<uint32_t> partner;
  EXPECT_EQ(RunSplitMesher(spans, kProbeLimit, &partner), 0u);
}

// Lemma 5.3: t = k/q probes find at least n(1 - e^(-2k))/4 pairs with high probability.
TEST(SplitMesher, ReachesTheBoundOfThePaper) {
  constexpr SlotIndex kSlots = 64;
  constexpr uint32_t kLive = 12;
  constexpr uint32_t kSpans = 4000;
  double q = 1;  // C(b - r, r) / C(b, r)
  for (uint32_t i = 0; i < kLive; i++) q *= static_cast<double>(kSlots - kLive - i) / (kSlots - i);
  for (uint64_t seed = 1; seed <= 5; seed++) {
    std::vector<Bitmap> spans = RandomSpans(kSpans, kSlots, kLive, seed);
    for (double k : {0.25, 0.5, 1.0, 2.0}) {
      std::vector<uint32_t> partner;
      uint32_t probes = static_cast<uint32_t>(std::ceil(k / q));
      uint32_t pairs = RunSplitMesher(spans, probes, &partner, seed);
      EXPECT_GE(pairs, kSpans * (1 - std::exp(-2 * k)) / 4) << "k " << k << " seed " << seed;
    }
  }
}

struct Packed {
  uint32_t groups;
  std::vector<uint32_t> group;
  PackProgress progress;
  int calls;
};

// Enough to go group by group, and too few for that.
constexpr uint64_t kManyLooks = uint64_t{1} << 40;
constexpr uint64_t kFirstFitLooks = 2000;  // for each span

// Packs in steps of `most_looks`, and checks what must hold of any result.
Packed Pack(const std::vector<Bitmap>& spans, SlotIndex slots, uint64_t looks,
            uint32_t max_members = 255, uint64_t most_looks = UINT64_MAX) {
  size_t n = spans.size();
  const std::vector<uint16_t> counts = CountsOf(spans);
  std::vector<uint32_t> order(n), group(n), group_count(n), members(n);
  std::vector<Bitmap> group_bits(n);
  std::vector<PackerBlock> blocks(n / PackerBlock::kColumns + 1);
  Packed packed{0, {}, {}, 1};
  while (!PackSome(spans, counts, {slots, max_members, looks},
                   {order, group, group_bits, group_count, members, blocks}, most_looks,
                   &packed.progress)) {
    packed.calls++;
  }
  packed.groups = packed.progress.groups;
  packed.group = group;
  std::vector<Bitmap> seen(packed.groups);
  std::vector<uint32_t> size(packed.groups);
  for (size_t i = 0; i < n; i++) {
    EXPECT_LT(group[i], packed.groups);
    EXPECT_FALSE(seen[group[i]].Overlaps(spans[i]));
    seen[group[i]] |= spans[i];
    EXPECT_LE(++size[group[i]], max_members);
  }
  for (uint32_t g = 0; g < packed.groups; g++) {
    EXPECT_EQ(seen[g], group_bits[g]);
    EXPECT_EQ(seen[g].Count(), group_count[g]);
    EXPECT_EQ(size[g], members[g]);
    EXPECT_GT(size[g], 0u);
  }
  return packed;
}

TEST(GroupPacker, GroupsAreDisjoint) {
  for (uint32_t live : {1u, 3u, 6u, 16u, 31u, 64u}) {
    Pack(RandomSpans(500, 64, live, live), 64, kFirstFitLooks * 500);
    Pack(RandomSpans(500, 64, live, live), 64, kManyLooks);
    Pack(RandomSpans(500, 256, live, live), 256, kManyLooks, 3);
  }
}

TEST(GroupPacker, NothingAndOne) {
  EXPECT_EQ(PackGroups({}, {}, {64, 4, kManyLooks}, {}), 0u);
  EXPECT_EQ(Pack(RandomSpans(1, 64, 20, 1), 64, kManyLooks).groups, 1u);
  EXPECT_EQ(Pack(std::vector<Bitmap>(3), 64, kManyLooks).groups, 1u);
}

TEST(GroupPacker, PacksWhatFitsExactly) {
  // Sixteen spans with one object each, all in different slots: one group.
  std::vector<Bitmap> spans(16);
  for (SlotIndex i = 0; i < 16; i++) spans[i].Set(i);
  EXPECT_EQ(Pack(spans, 16, 1000).groups, 1u);
  EXPECT_EQ(Pack(spans, 16, 1000, 4).groups, 4u);
}

// In one go or in many: the same groups.
TEST(GroupPacker, CanStopAndGoOn) {
  for (uint32_t live : {2u, 20u}) {
    for (uint64_t looks : {kFirstFitLooks * 700, uint64_t{5000} * 700, kManyLooks}) {
      std::vector<Bitmap> spans = RandomSpans(700, 256, live, 12);
      Packed whole = Pack(spans, 256, looks, 32);
      Packed pieces = Pack(spans, 256, looks, 32, 50);
      EXPECT_EQ(whole.calls, 1);
      EXPECT_GT(pieces.calls, 10);
      EXPECT_EQ(pieces.groups, whole.groups);
      EXPECT_EQ(pieces.group, whole.group);
    }
  }
}

TEST(GroupPacker, GroupByGroupMakesFewerThanFirstFit) {
  struct Shape {
    SlotIndex slots;
    double live;
    double spread;
    double most;  // of what first fit makes
  };
  for (const Shape& shape :
       {Shape{256, 0.05, 0, 0.98}, Shape{256, 0.1, 0, 0.98}, Shape{128, 0.1, 0, 0.98},
        Shape{85, 0.11, 0, 0.99}, Shape{64, 0.2, 0, 0.99}, Shape{32, 0.35, 0, 1.005},
        Shape{256, 0.1, 0.05, 1.005}, Shape{128, 0.1, 0.05, 1}, Shape{64, 0.3, 0.2, 1.005}}) {
    for (uint64_t seed = 1; seed <= 5; seed++) {
      std::vector<Bitmap> spans = MixedSpans(1500, shape.slots, shape.live, shape.spread, seed);
      Packed first_fit = Pack(spans, shape.slots, kFirstFitLooks * spans.size());
      Packed packed = Pack(spans, shape.slots, kManyLooks);
      EXPECT_LE(packed.groups, first_fit.groups * shape.most)
          << shape.slots << " slots, seed " << seed << ": first fit " << first_fit.groups;
    }
  }
}

// Looks that run out leave the rest to first fit.
TEST(GroupPacker, LooksAreBounded) {
  std::vector<Bitmap> spans = MixedSpans(16000, 128, 0.1, 0.05, 5);
  uint64_t objects = 0;
  for (const Bitmap& bits : spans) objects += bits.Count();
  for (uint64_t each : {1u, 100u, 2000u, 4096u}) {
    uint64_t looks = each * spans.size();
    Packed packed = Pack(spans, 128, looks);
    EXPECT_LE(packed.progress.looks, looks + objects) << each;
  }
}

// A step is at most a block, a group or a span longer than it was to be.
TEST(GroupPacker, StepsAreBounded) {
  constexpr uint64_t kStep = 1000;
  for (uint32_t live : {8u, 26u, 100u}) {
    std::vector<Bitmap> spans = RandomSpans(5000, 256, live, 7);
    Packed packed = Pack(spans, 256, kManyLooks, 64, kStep);
    EXPECT_GT(packed.calls, 20);
    EXPECT_LT(packed.progress.looks / static_cast<uint64_t>(packed.calls), 100 * kStep);
  }
}

TEST(GroupPacker, FullSpansStayAlone) {
  std::vector<Bitmap> spans(10, Bitmap::FirstBits(64));
  EXPECT_EQ(Pack(spans, 64, 1000).groups, 10u);
}

// docs/design.md: 10 % live and 64 slots pack to about 1.25 times the live bytes when all groups
// are probed, which is 12.5 % of the spans; pairs cannot go below 50 %.
TEST(GroupPacker, GoesFarBelowPairs) {
  std::vector<Bitmap> spans = RandomSpans(4000, 64, 6, 9);
  EXPECT_LT(Pack(spans, 64, uint64_t{1} << 40).groups, 4000 * 0.17);
  EXPECT_LT(Pack(spans, 64, 4000 * 64).groups, 4000 * 0.19);
}

// A group is numbered by the first of its spans in the order of the keys; who is alone is left out.
TEST(GroupPacker, GroupsAreNumberedByAddress) {
  const std::vector<uint32_t> keys = {40, 10, 30, 20, 50, 60};
  std::vector<uint32_t> group = {0, 1, 1, 2, 0, 3};
  std::vector<uint32_t> members = {2, 2, 1, 1, 0, 0};
  std::vector<uint32_t> order(6), group_count(6);
  std::vector<Bitmap> group_bits(6);
  std::vector<PackerBlock> blocks;
  ASSERT_EQ(NumberByAddress(keys, 4, {order, group, group_bits, group_count, members, blocks}), 2u);
  EXPECT_EQ(group, (std::vector<uint32_t>{1, 0, 0, kUnmeshed, 1, kUnmeshed}));
  EXPECT_EQ(members[0], 2u);
  EXPECT_EQ(members[1], 2u);
}

}  // namespace
}  // namespace mesh
