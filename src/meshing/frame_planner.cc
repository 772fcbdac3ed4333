// See frame_planner.h.
#include "src/meshing/frame_planner.h"

#include <algorithm>

#include "src/base/check.h"

namespace mesh {
namespace {

// Pages that a mapping has to save at least.
constexpr double kLeastPrice = 1.0 / 16;

// What a frame of several spans takes, with those between frames that are left alone; and a span
// that is meshed for itself, where neighbours become one mapping.
constexpr double kMappingsPerFrame = 1.125;
constexpr double kMappingsPerSpan = 0.95;

// Doublings in the number of groups that a span is tried with, and the share of its slots up to
// which a group is filled at best, as the packer's results show them.
constexpr double kTriedDoublings = 15.5;
constexpr double kHighestFill = 0.93;

// 2 to the power of -x, to 1 %; x >= 0.
double HalfToThe(double x) {
  if (x >= 60) return 0;
  auto whole = static_cast<uint32_t>(x);
  double rest = x - whole;
  return (1 - 0.66 * rest + 0.16 * rest * rest) / static_cast<double>(uint64_t{1} << whole);
}

// Calls visit(share of the pages, units of a frame, units of a span) for each length of spans, when
// frames of `units` are to be made: longer spans stay whole.
template <typename Visit>
void ForEachLength(const FrameDemand& demand, uint32_t units, Visit visit) {
  for (uint32_t i = 0; i < kSpanLengths; i++) {
    if (demand.lengths[i] > 0) visit(demand.lengths[i], units >> i != 0 ? units : 1u << i, 1u << i);
  }
}

// What is meshed in longer frames already, and is meshed anew in shorter ones, falls apart.
double CountMappings(const FrameDemand& demand, uint32_t units) {
  auto plain = static_cast<double>(demand.plain_pages);
  auto meshed = static_cast<double>(demand.pages - demand.plain_pages);
  double mappings = 0;
  ForEachLength(demand, units, [&](double share, uint32_t frame, uint32_t length) {
    mappings += share * plain / frame * (frame > length ? kMappingsPerFrame : kMappingsPerSpan);
    if (frame < demand.made_units) {
      mappings += share * meshed * (1.0 / frame - 1.0 / demand.made_units);
    }
  });
  return mappings / demand.unit_pages;
}

double PagesLeft(const FrameDemand& demand, uint32_t units) {
  double left = 0;
  ForEachLength(demand, units, [&](double share, uint32_t frame, uint32_t) {
    left += share * PackedShare(frame * demand.unit_slots, demand.live);
  });
  return left * static_cast<double>(demand.pages);
}

// What a class that has frames of `units`, or none, is given next: the length that saves most pages
// for each mapping more.
struct Step {
  double price = 0;  // that many [pages a mapping]; 0: nothing is saved
  double mappings = 0;
  uint8_t units = kNoFrame;
};

Step NextStep(const FrameDemand& demand, uint8_t units) {
  // What costs no mapping is better than all that does.
  constexpr double kLeastCost = 1.0 / (1 << 18);
  const bool has_frames = units != kNoFrame;
  const double pages = has_frames ? PagesLeft(demand, units) : static_cast<double>(demand.pages);
  const double mappings = has_frames ? CountMappings(demand, units) : 0;
  Step best;
  for (uint32_t other = 1; other <= demand.max_units; other *= 2) {
    const double gain = pages - PagesLeft(demand, other);
    if (gain <= 0) continue;
    const double cost = CountMappings(demand, other) - mappings;
    const double price = gain / std::max(cost, kLeastCost);
    if (price > best.price) best = {price, cost, static_cast<uint8_t>(other)};
  }
  return best;
}

}  // namespace

// A span of n objects finds its place among 2^k groups when one of them has room for all of them:
// so groups fill up to where (1 - fill)^n is 2^-k.
double PackedShare(uint32_t slots, double live) {
  double fill = std::min(1 - HalfToThe(kTriedDoublings / (live * slots)), kHighestFill);
  return live < fill ? live / fill : 1;
}

void PlanFrames(std::span<const FrameDemand> demands, uint64_t mappings, std::span<uint8_t> units) {
  MESH_DCHECK(demands.size() <= units.size() && demands.size() <= kMostClasses);
  const auto left = static_cast<double>(mappings);
  double needed = 0;
  for (size_t i = 0; i < demands.size(); i++) {
    units[i] = 1;
    needed += CountMappings(demands[i], 1);
  }
  if (needed <= left) return;
  Step steps[kMostClasses];
  for (size_t i = 0; i < demands.size(); i++) {
    units[i] = kNoFrame;
    steps[i] = NextStep(demands[i], kNoFrame);
  }
  needed = 0;
  while (true) {
    size_t next = 0;
    for (size_t i = 1; i < demands.size(); i++) {
      if (steps[i].price > steps[next].price) next = i;
    }
    const Step step = steps[next];
    const bool takes_rest = 2 * needed < left;
    if (step.price < kLeastPrice || (needed + step.mappings > left && !takes_rest)) return;
    units[next] = step.units;
    needed += step.mappings;
    if (needed > left) return;
    steps[next] = NextStep(demands[next], step.units);
  }
}

}  // namespace mesh
