// Tests of the frame planner: who gets how much of the mappings.
#include "src/meshing/frame_planner.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <vector>

namespace mesh {
namespace {

// A class of one-page spans of `slots` slots, a tenth of them in use, none meshed yet.
FrameDemand Class(uint32_t slots, uint64_t pages) {
  FrameDemand demand;
  demand.unit_pages = 1;
  demand.unit_slots = slots;
  for (demand.max_units = 1; demand.max_units < 16 && 2 * demand.max_units * slots <= 256;) {
    demand.max_units *= 2;
  }
  demand.pages = demand.plain_pages = pages;
  demand.live = 0.1;
  return demand;
}

std::vector<uint8_t> Plan(const std::vector<FrameDemand>& demands, uint64_t mappings) {
  std::vector<uint8_t> units(demands.size());
  PlanFrames(demands, mappings, units);
  return units;
}

// docs/design.md, "What to mesh": physical over live bytes, all groups tried.
TEST(FramePlanner, EstimatesWhatWasSimulated) {
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

TEST(FramePlanner, NothingIsSavedWhereSpansAreNeverDisjoint) {
  EXPECT_EQ(PackedShare(256, 0.9), 1);
  EXPECT_LE(PackedShare(8, 1.0 / 64), 0.02);
}

TEST(FramePlanner, EachSpanForItselfWhenMappingsSuffice) {
  EXPECT_EQ(Plan({Class(256, 1000), Class(8, 1000)}, 2300), (std::vector<uint8_t>{1, 1}));
  EXPECT_EQ(Plan({}, 0), std::vector<uint8_t>());
}

// A span of several units is one mapping.
TEST(FramePlanner, LongSpansNeedFewMappings) {
  FrameDemand mixed = Class(8, 4000);
  EXPECT_GT(Plan({mixed}, 2300)[0], 1);
  mixed.lengths[0] = 0.1;
  mixed.lengths[1] = 0.9;
  EXPECT_EQ(Plan({mixed}, 2300)[0], 1);
}

// Few slots stay disjoint in long frames, many do not.
TEST(FramePlanner, FewSlotsGetTheLongFrames) {
  std::vector<uint8_t> units = Plan({Class(64, 20'000), Class(8, 20'000)}, 12'000);
  EXPECT_GT(units[1], units[0]);
  EXPECT_GE(units[1], 8);
}

TEST(FramePlanner, WhatSavesLeastIsLeftAlone) {
  std::vector<uint8_t> units = Plan({Class(256, 20'000), Class(32, 20'000)}, 5'000);
  EXPECT_EQ(units[0], kNoFrame);
  EXPECT_GT(units[1], 1);
  EXPECT_EQ(Plan({Class(256, 20'000)}, 0)[0], kNoFrame);
}

// All that can be had for the price is done, and mappings are left, but not enough for a whole
// class.
TEST(FramePlanner, TheRestGoesToWhomItServesMost) {
  FrameDemand done = Class(32, 20'000);
  done.plain_pages = 0;
  done.made_units = 8;
  std::vector<uint8_t> units = Plan({Class(256, 20'000), Class(128, 20'000), done}, 5'000);
  EXPECT_EQ(units[0], kNoFrame);
  EXPECT_EQ(units[1], 2);
}

// Long frames that are meshed anew in short ones fall apart, and need mappings again.
TEST(FramePlanner, FramesThatAreMadeAreKept) {
  FrameDemand made = Class(32, 20'000);
  made.plain_pages = 100;
  made.made_units = 8;
  EXPECT_NE(Plan({made}, 2'000)[0], 1);
  made.made_units = 1;
  EXPECT_EQ(Plan({made}, 2'000)[0], 1);
}

}  // namespace
}  // namespace mesh
