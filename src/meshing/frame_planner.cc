// See frame_planner.h.
#include "src/meshing/frame_planner.h"

#include "src/base/check.h"

namespace mesh {
namespace {

// Prices that are tried, in pages for a mapping, each a quarter above the last.
constexpr double kLeastPrice = 1.0 / 16;
constexpr double kHighestPrice = 64;
constexpr double kPriceStep = 1.25;

// What a frame takes, mappings where frames end beside others' included.
constexpr double kMappingsPerFrame = 1.125;

// Doublings in the number of groups that a span is tried with, as the packer's results show them.
constexpr double kTriedDoublings = 14;

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

// What is meshed in longer frames already, and is meshed anew in shorter ones, falls apart.
double CountMappings(const FrameDemand& demand, uint32_t units) {
  auto plain = static_cast<double>(demand.plain_pages);
  auto meshed = static_cast<double>(demand.pages - demand.plain_pages);
  double frames = plain / units;
  if (units < demand.made_units) frames += meshed / units - meshed / demand.made_units;
  return kMappingsPerFrame * frames / demand.unit_pages;
}

Choice Choose(const FrameDemand& demand, double price) {
  Choice best;
  auto least = static_cast<double>(demand.pages);
  for (uint32_t units = 1; units <= demand.max_units; units *= 2) {
    double mappings = CountMappings(demand, units);
    double left =
        static_cast<double>(demand.pages) * PackedShare(units * demand.unit_slots, demand.live);
    if (left + price * mappings >= least) continue;
    least = left + price * mappings;
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
  double fill = 1 - HalfToThe(kTriedDoublings / (live * slots));
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
