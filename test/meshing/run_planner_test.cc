// Tests of the run planner: its estimates against what is packed, and who gets the mappings.
#include "src/meshing/run_planner.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <vector>

#include "src/meshing/run_packer.h"
#include "test/meshing/random_spans.h"

namespace mesh {
namespace {

// A class of one-page spans of `slots` slots, a tenth of them in use, none meshed yet.
MeshDemand Class(uint32_t slots, uint64_t pages) {
  MeshDemand demand;
  demand.unit_pages = 1;
  demand.unit_slots = slots;
  demand.pages = demand.plain_pages = pages;
  demand.live = 0.1;
  return demand;
}

SpanDemand Spans(uint32_t slots, uint32_t spans) { return DemandOf(Class(slots, spans), 0); }

double MappingsAt(const std::vector<MeshDemand>& demands, double price) {
  double mappings = 0;
  for (const MeshDemand& demand : demands) mappings += PlanPacking(demand, price).mappings;
  return mappings;
}

// docs/design.md, "What to mesh": physical over live bytes, all groups tried.
TEST(RunPlanner, EstimatesGroupByGroup) {
  struct Row {
    uint32_t slots;
    double live;
    double simulated;
  };
  for (const Row& row :
       {Row{256, 0.1, 2.90}, Row{128, 0.1, 1.77}, Row{64, 0.1, 1.25}, Row{32, 0.1, 1.10},
        Row{16, 0.1, 1.11}, Row{8, 0.1, 1.08}, Row{256, 0.2, 4.81}, Row{128, 0.2, 2.57},
        Row{64, 0.2, 1.70}, Row{32, 0.2, 1.20}, Row{16, 0.2, 1.04}, Row{64, 0.5, 2.00},
        Row{32, 0.5, 1.90}, Row{16, 0.5, 1.35}, Row{8, 0.5, 1.06}}) {
    double estimate = PackedShare(row.slots, row.live) / row.live;
    EXPECT_NEAR(estimate / row.simulated, 1, 0.16) << row.slots << " slots, " << row.live;
  }
}

TEST(RunPlanner, NothingIsSavedWhereSpansAreNeverDisjoint) {
  EXPECT_EQ(PackedShare(256, 0.9), 1);
  EXPECT_LE(PackedShare(8, 1.0 / 64), 0.02);
}

// Runs that PackRuns() makes of random spans, and the mappings between the pieces of neighbours.
TEST(RunPlanner, EstimatesRuns) {
  constexpr uint32_t kSpans = 10'000;
  constexpr uint32_t kPiece = 64;
  struct Row {
    uint32_t slots;
    double live;
    double share;
  };
  for (const Row& row : {Row{256, 0.1, 0.36}, Row{256, 0.1, 0.5}, Row{128, 0.1, 0.25},
                         Row{128, 0.1, 0.4}, Row{64, 0.1, 0.18}, Row{64, 0.1, 0.3},
                         Row{32, 0.1, 0.15}, Row{64, 0.2, 0.45}, Row{16, 0.3, 0.5}}) {
    const std::vector<Bitmap> spans = MixedSpans(kSpans, row.slots, row.live, 0, 7);
    const auto leaders = static_cast<uint32_t>(row.share * kSpans);
    std::vector<uint8_t> joined(kSpans);
    for (uint32_t i = 0; i < kSpans; i++) joined[i] = i != leaders && i % kPiece != 0;
    RunBuffers buffers(kSpans, leaders);
    RunProgress progress;
    PackRuns(spans, CountsOf(spans), leaders, {row.slots, 255, UINT64_MAX}, buffers.With(joined),
             UINT64_MAX, &progress);
    const std::vector<uint32_t>& group = buffers.group;
    double runs = leaders / double{kPiece};
    for (uint32_t i = leaders; i < kSpans; i++) {
      if (joined[i] == 0 || group[i] != group[i - 1] + 1) runs++;
    }
    MeshDemand demand = Class(row.slots, kSpans);
    demand.live = row.live;
    EXPECT_NEAR(RunMappings(DemandOf(demand, 0), leaders) / runs, 1, 0.13)
        << row.slots << " slots, " << row.live << " live, " << row.share << ": " << runs;
  }
}

TEST(RunPlanner, SpansThatLeadTakeNoneAndFullOnesHaveNoRoom) {
  EXPECT_EQ(RunMappings(Spans(64, 1000), 1000), 0);
  EXPECT_TRUE(std::isinf(RunMappings(Spans(64, 1000), 101)));
  EXPECT_TRUE(std::isinf(RunMappings(Spans(256, 1000), 200)));
  EXPECT_TRUE(std::isinf(RunMappings(Spans(256, 1000), 1)));
  EXPECT_FALSE(std::isinf(RunMappings(Spans(64, 1000), 300)));
}

// A leader that follows takes along all that show its memory.
TEST(RunPlanner, GroupsCostMoreToMove) {
  SpanDemand spans = Spans(64, 1000);
  const double plain = RunMappings(spans, 400);
  spans.views = 5;
  EXPECT_EQ(RunMappings(spans, 400), plain);
  spans.plain = 600;
  EXPECT_EQ(RunMappings(spans, 400), plain);
  spans.plain = 0;
  EXPECT_GT(RunMappings(spans, 400), 4 * plain);
}

TEST(RunPlanner, TheDearerTheMoreLead) {
  const SpanDemand spans = Spans(128, 20'000);
  uint32_t last = 0;
  for (double price : {0.25, 0.5, 1.0, 2.0, 4.0, 8.0}) {
    const uint32_t leaders = PlanPacking(spans, price).leaders;
    EXPECT_GT(leaders, last) << price;
    last = leaders;
  }
  EXPECT_EQ(PlanPacking(spans, 1000).leaders, 20'000u);
  EXPECT_EQ(PlanPacking(spans, 1.0 / 64).leaders, kNoLeaders);
}

TEST(RunPlanner, NoMoreMappingsThanThereMayBe) {
  const SpanDemand spans = Spans(128, 20'000);
  const PackingPlan free = PlanPacking(spans, 0.25);
  EXPECT_NEAR(free.pages + free.saved, 20'000, 0.01);
  double last = free.pages;
  for (double most : {0.9, 0.5, 0.1}) {
    const PackingPlan plan = PlanPacking(spans, 0.25, most * free.mappings);
    EXPECT_LE(plan.mappings, most * free.mappings);
    EXPECT_GT(plan.pages, last) << most;
    last = plan.pages;
  }
  EXPECT_EQ(PlanPacking(spans, 0.25, 0).leaders, 20'000u);
  EXPECT_EQ(PlanPacking(spans, 0, 1e6).leaders, kNoLeaders);
  EXPECT_NE(PlanPacking(spans, 0, 15'000).leaders, kNoLeaders);
}

TEST(RunPlanner, AfreshEverySpanIsOneOfItsOwn) {
  MeshDemand demand = Class(64, 3000);
  demand.plain_pages = 2000;
  demand.views = 3;
  demand.live = 0.2;
  const MeshDemand anew = Afresh(demand);
  EXPECT_EQ(anew.pages, 5000u);
  EXPECT_EQ(anew.plain_pages, 5000u);
  EXPECT_NEAR(anew.live, 0.12, 0.001);
  EXPECT_EQ(anew.views, 1);
  EXPECT_EQ(Afresh(MeshDemand()).pages, 0u);
}

// Each of their pages is worth a mapping.
TEST(RunPlanner, LongSpansArePackedGroupByGroup) {
  SpanDemand spans = Spans(64, 2000);
  EXPECT_NE(PlanPacking(spans, 1).leaders, kNoLeaders);
  spans.pages = 16;
  EXPECT_EQ(PlanPacking(spans, 1).leaders, kNoLeaders);
}

TEST(RunPlanner, FewSpans) {
  for (uint32_t count : {1u, 2u, 3u, 10u}) {
    const uint32_t leaders = PlanPacking(Spans(64, count), 1).leaders;
    EXPECT_LE(leaders, count);
  }
  EXPECT_EQ(PriceOfMappings({}, 0), 0);
}

TEST(RunPlanner, NothingIsScarceWhereEverySpanMayHaveAMapping) {
  const std::vector<MeshDemand> demands = {Class(256, 1000), Class(8, 1000)};
  EXPECT_EQ(PriceOfMappings(demands, 2000), 0);
  EXPECT_GT(PriceOfMappings(demands, 1500), 0);
}

// A span of several units is one mapping.
TEST(RunPlanner, LongSpansNeedFewMappings) {
  MeshDemand mixed = Class(8, 4000);
  EXPECT_GT(PriceOfMappings(std::vector{mixed}, 2300), 0);
  mixed.lengths[0] = 0.1;
  mixed.lengths[1] = 0.9;
  EXPECT_EQ(PriceOfMappings(std::vector{mixed}, 2300), 0);
}

TEST(RunPlanner, ThePriceIsWhatTheMappingsAreEnoughFor) {
  std::vector<MeshDemand> demands;
  for (uint32_t slots : {256u, 128u, 64u, 32u, 16u, 8u}) demands.push_back(Class(slots, 20'000));
  demands.push_back({});  // a class without spans
  double last = 0;
  for (uint64_t mappings : {60'000u, 30'000u, 15'000u, 6'000u}) {
    const double price = PriceOfMappings(demands, mappings);
    EXPECT_GT(price, last) << mappings;
    last = price;
    const double needed = MappingsAt(demands, price);
    EXPECT_LE(needed, static_cast<double>(mappings));
    EXPECT_GT(needed, 0.75 * static_cast<double>(mappings));
  }
  EXPECT_EQ(MappingsAt(demands, PriceOfMappings(demands, 0)), 0);
}

// All runs that are as long as they may be are worth the same: a few are made of them.
TEST(RunPlanner, AFewMappingsAreNotLeftOver) {
  const std::vector<MeshDemand> demands = {Class(256, 20'000), Class(8, 20'000)};
  const double price = PriceOfMappings(demands, 200);
  EXPECT_LT(PlanPacking(DemandOf(demands[1], 0), price).leaders, 20'000u);
  EXPECT_EQ(PlanPacking(DemandOf(demands[0], 0), price).leaders, 20'000u);
}

}  // namespace
}  // namespace mesh
