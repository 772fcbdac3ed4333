// Frame planner: how many neighbouring spans of a class are meshed as one where mappings are
// scarce.
//
//   frame      | span | span | span | span |     a run of spans of one length, one behind the other
//   meshed     | span | span | span | span |     each with the same-numbered spans of other frames,
//   backing    | page | page | page | page |     on neighbouring pages: one mapping
//
// A mapping saves a frame's pages at most, so long frames make more of a mapping; but frames of
// many slots are seldom disjoint. The planner begins with nothing, and again and again gives the
// mappings that are left to the class, and the length, that save most pages for each of them: what
// a fractional knapsack takes.
// Room: meshing; above base. Thread rule: pure functions.
#pragma once

#include <cstdint>
#include <span>

#include "src/base/units.h"

namespace mesh {

// Lengths that spans of a class have: 1, 2, 4, 8 and 16 units.
inline constexpr uint32_t kSpanLengths = 5;

// What is known of the spans of a class that can still be meshed.
struct FrameDemand {
  uint32_t unit_pages = 0;             // pages of the shortest span
  uint32_t unit_slots = 0;             // its slots
  uint32_t max_units = 0;              // of a frame, a power of two
  uint64_t pages = 0;                  // physical pages of the spans
  uint64_t plain_pages = 0;            // of them, those that are not meshed yet
  uint32_t made_units = 1;             // of the frames that the others were meshed in
  double live = 0;                     // share of their slots in use, above 0 and up to 1
  double lengths[kSpanLengths] = {1};  // [i]: share of the pages in spans of 2^i units
};

// The length of a frame where a class is left alone: what it could save is not worth its mappings.
inline constexpr uint8_t kNoFrame = 0;

inline constexpr size_t kMostClasses = 128;

// Chooses the frames of each of kMostClasses classes at most, in units, so that they need no more
// than `mappings`, about. Every class gets frames of 1 unit, so that each span is meshed for
// itself, when those suffice. Where half of them are left, and too few for what saves most, that
// gets as far as they last.
void PlanFrames(std::span<const FrameDemand> demands, uint64_t mappings, std::span<uint8_t> units);

// Pages that are left of 1 page, by estimate, when frames of `slots` slots are packed, of which a
// share of `live` is in use. Within a sixth of what was simulated (docs/design.md, "What to
// mesh").
double PackedShare(uint32_t slots, double live);

}  // namespace mesh
