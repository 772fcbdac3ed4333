// Run planner: which classes get the mappings where they are scarce, and how many spans lead the
// groups of each.
//
// Few leaders leave few pages, and need many mappings: the fuller they are, the shorter the runs of
// followers that fit (RunPacker). A price, in pages that a mapping has to save, says for every
// class how far to go: it has so many leaders that one fewer would need more for its pages. The
// price at which all classes together need as many as there are is what they get, whatever the
// others are like; the lower it is, the more is saved by the last mapping of each.
// Room: meshing; above base. Thread rule: pure functions.
#pragma once

#include <cstdint>
#include <limits>
#include <span>

#include "src/base/units.h"

namespace mesh {

// Lengths that spans of a class have: 1, 2, 4, 8 and 16 units.
inline constexpr uint32_t kSpanLengths = 5;

// What is known of the spans of a class that can still be meshed.
struct MeshDemand {
  uint32_t unit_pages = 0;             // pages of the shortest span
  uint32_t unit_slots = 0;             // its slots
  uint64_t pages = 0;                  // physical pages of the spans
  uint64_t plain_pages = 0;            // of them, those that are not meshed yet
  double views = 1;                    // virtual spans to one of the others
  double live = 0;                     // share of their slots in use, above 0 and up to 1
  double lengths[kSpanLengths] = {1};  // [i]: share of the pages in spans of 2^i units
};

// The same of physical spans of one length.
struct SpanDemand {
  uint32_t pages = 0;  // of a span
  uint32_t slots = 0;  // of a span
  uint32_t spans = 0;
  uint32_t plain = 0;  // of them, those that are not meshed yet
  double views = 1;
  double live = 0;
};
SpanDemand DemandOf(const MeshDemand& demand, uint32_t length);

// The same demand if every virtual span were one of its own, and none meshed yet.
MeshDemand Afresh(const MeshDemand& demand);

// Pages that a mapping has to save, so that all demands together take `mappings` at most, about. 0:
// every span can be meshed for itself.
double PriceOfMappings(std::span<const MeshDemand> demands, uint64_t mappings);

// How spans are best packed at a price, and what is left by estimate.
struct PackingPlan {
  // How many of the spans lead; all of them where no mapping is worth it; kNoLeaders where it is
  // better to pack them group by group, each with a mapping of its own.
  uint32_t leaders = 0;
  double pages = 0;     // physical
  double saved = 0;     // of those that there are now
  double mappings = 0;  // more than there are
};
inline constexpr uint32_t kNoLeaders = 0;
// With `most_mappings` at most.
PackingPlan PlanPacking(const SpanDemand& demand, double price,
                        double most_mappings = std::numeric_limits<double>::infinity());
// The sums over all lengths; `leaders` says nothing.
PackingPlan PlanPacking(const MeshDemand& demand, double price);

// Mappings that the others take, by estimate, when so many lead; infinite where they have no room.
// Up to two fifths that lead, within an eighth of what was simulated (docs/theory.md, "The
// estimate"); beyond, too few, as leaders that nobody follows cut others off.
double RunMappings(const SpanDemand& demand, uint32_t leaders);

// Pages that are left of 1 page, by estimate, when spans of `slots` slots are packed group by
// group, of which a share of `live` is in use. Within a sixth of what was simulated
// (docs/design.md, "What to mesh").
double PackedShare(uint32_t slots, double live);

}  // namespace mesh
