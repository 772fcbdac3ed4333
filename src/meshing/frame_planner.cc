// See frame_planner.h.
#include "src/meshing/frame_planner.h"

#include <algorithm>

#include "src/base/check.h"

namespace mesh {
namespace {

// Prices that are tried, in pages for a mapping, each a quarter above the last.
constexpr double kLeastPrice = 1.0 / 16;
constexpr double kHighestPrice = 64;
constexpr double kPriceStep = 1.25;

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

struct Choice {
  uint8_t units = kNoFrame;
  double mappings = 0;
};

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

Choice Choose(const FrameDemand& demand, double price) {
  Choice best;
  auto least = static_cast<double>(demand.pages);
  for (uint32_t units = 1; units <= demand.max_units; units *= 2) {
    double mappings = CountMappings(demand, units);
    double cost = PagesLeft(demand, units) + price * mappings;
    if (cost >= least) continue;
    least = cost;
    best = {static_cast<uint8_t>(units), mappings};
  }
  return best;
}

// Most of the mappings are left, yet too few for any whole class that is left alone: the one that
// makes the most of them gets as far as they last.
void SpendRest(std::span<const FrameDemand> demands, std::span<uint8_t> units) {
  size_t best = demands.size();
  double best_price = kLeastPrice;
  uint8_t best_units = kNoFrame;
  for (size_t i = 0; i < demands.size(); i++) {
    if (units[i] != kNoFrame) continue;
    for (double price = best_price; price < kHighestPrice; price *= kPriceStep) {
      Choice choice = Choose(demands[i], price);
      if (choice.units == kNoFrame) break;
      best = i;
      best_price = price * kPriceStep;
      best_units = choice.units;
    }
  }
  if (best < demands.size()) units[best] = best_units;
}

}  // namespace

// A span of n objects finds its place among 2^k groups when one of them has room for all of them:
// so groups fill up to where (1 - fill)^n is 2^-k.
double PackedShare(uint32_t slots, double live) {
  double fill = std::min(1 - HalfToThe(kTriedDoublings / (live * slots)), kHighestFill);
  return live < fill ? live / fill : 1;
}

void PlanFrames(std::span<const FrameDemand> demands, uint64_t mappings, std::span<uint8_t> units) {
  MESH_DCHECK(demands.size() <= units.size());
  double needed = 0;
  for (size_t i = 0; i < demands.size(); i++) {
    units[i] = 1;
    needed += CountMappings(demands[i], 1);
  }
  auto left = static_cast<double>(mappings);
  for (double price = kLeastPrice; needed > left && price < kHighestPrice; price *= kPriceStep) {
    needed = 0;
    for (size_t i = 0; i < demands.size(); i++) {
      Choice choice = Choose(demands[i], price);
      units[i] = choice.units;
      needed += choice.mappings;
    }
  }
  if (2 * needed < left) SpendRest(demands, units);
}

}  // namespace mesh
