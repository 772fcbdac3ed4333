// See run_planner.h.
#include "src/meshing/run_planner.h"

#include <algorithm>
#include <bit>
#include <limits>

#include "src/meshing/run_packer.h"

namespace mesh {
namespace {

// Pages that a mapping has to save at least, and at most: no run has more. The price is found to
// so many halvings of its double.
constexpr double kLeastPrice = 1.0 / 16;
constexpr double kMostPrice = 16.0 * kLongestRun;
constexpr int kHalvings = 5;

// What a span takes that is meshed for itself: some neighbours become one mapping.
constexpr double kMappingsPerSpan = 0.95;

// Pages that neighbours have, in one piece (Arena, "Runs of neighbours").
constexpr double kPiecePages = 64;

// Numbers of leaders that are compared.
constexpr uint32_t kShares = 128;

constexpr double kInfinite = std::numeric_limits<double>::infinity();

// Group by group: doublings in the number of groups that a span is tried with; and the share of its
// slots up to which a group is filled at best; as the packers' results show them.
constexpr double kTriedDoublings = 15.5;
constexpr double kHighestFill = 0.93;

// In runs: how much further than chance says the leaders may be filled, as a logarithm, before more
// than one in a hundred is left alone. Spans of few objects differ more from each other.
double Luck(double objects) { return 0.1 * objects - 1.6; }

// 2 to the power of -x, to 1 %; x >= 0.
double HalfToThe(double x) {
  if (x >= 60) return 0;
  auto whole = static_cast<uint32_t>(x);
  double rest = x - whole;
  return (1 - 0.66 * rest + 0.16 * rest * rest) / static_cast<double>(uint64_t{1} << whole);
}

// The natural logarithm, to 1e-7; x > 0. By its series: libm is not ours to call.
double Log(double x) {
  constexpr double kLog2 = 0.6931471805599453;
  const auto bits = std::bit_cast<uint64_t>(x);
  auto exponent = static_cast<int>(bits >> 52) - 1023;
  double mantissa =
      std::bit_cast<double>((bits & ((uint64_t{1} << 52) - 1)) | uint64_t{1023} << 52);
  if (mantissa > 1.4142135) {
    mantissa /= 2;
    exponent++;
  }
  const double t = (mantissa - 1) / (mantissa + 1);
  const double square = t * t;
  const double series = 1 + square * (1.0 / 3 + square * (1.0 / 5 + square * (1.0 / 7)));
  return exponent * kLog2 + 2 * t * series;
}

// The integral of -log(1 - fill) from 0 on; fill < 1.
double LogIntegral(double fill) { return (1 - fill) * Log(1 - fill) + fill; }

double MappingsAt(std::span<const MeshDemand> demands, double price) {
  double mappings = 0;
  for (const MeshDemand& demand : demands) mappings += PlanPacking(demand, price).mappings;
  return mappings;
}

}  // namespace

// A span of n objects finds its place among 2^k groups when one of them has room for all of them:
// so groups fill up to where (1 - fill)^n is 2^-k.
double PackedShare(uint32_t slots, double live) {
  double fill = std::min(1 - HalfToThe(kTriedDoublings / (live * slots)), kHighestFill);
  return live < fill ? live / fill : 1;
}

SpanDemand DemandOf(const MeshDemand& demand, uint32_t length) {
  const uint32_t pages = demand.unit_pages << length;
  const double share = demand.lengths[length] / pages;
  return {pages,
          demand.unit_slots << length,
          static_cast<uint32_t>(share * static_cast<double>(demand.pages)),
          static_cast<uint32_t>(share * static_cast<double>(demand.plain_pages)),
          demand.views,
          demand.live};
}

MeshDemand Afresh(const MeshDemand& demand) {
  MeshDemand result = demand;
  if (demand.pages == 0) return result;
  const auto views = static_cast<double>(demand.pages - demand.plain_pages) * demand.views;
  result.pages = demand.plain_pages + static_cast<uint64_t>(views);
  result.plain_pages = result.pages;
  result.views = 1;
  result.live *= static_cast<double>(demand.pages) / static_cast<double>(result.pages);
  return result;
}

// A run of n followers of b objects each fits one of k leaders, on average, as long as
// k (1 - fill)^(n b) is 1: so n falls as they fill up, and the mappings for all followers are an
// integral over the fill, of which the leaders have `live` themselves. A leader that follows
// another takes all that show its memory along.
double RunMappings(const SpanDemand& demand, uint32_t leaders) {
  if (leaders >= demand.spans) return 0;
  const double fill = demand.live * demand.spans / leaders;
  if (leaders < 2 || fill >= kHighestFill) return kInfinite;
  const double objects = demand.live * demand.slots;
  const double choice = Log(leaders);
  if (-objects * Log(1 - fill) > choice + Luck(objects)) return kInfinite;
  // Up to there runs are as long as they may be: -log(1 - fill) is less than fill / (1 - fill).
  const double ratio = choice / (objects * kLongestRun);
  const double longest = std::clamp(ratio / (1 + ratio), demand.live, fill);
  double runs = (longest - demand.live) / kLongestRun;
  runs += (LogIntegral(fill) - LogIntegral(longest)) * objects / choice;
  runs *= leaders / demand.live;
  const double followers = demand.spans - leaders;
  const double moved = std::max(0.0, followers - demand.plain) / followers;
  // Where pieces of neighbours end, runs do, and each piece that leads is a mapping.
  const double ends = double{1} * demand.pages / kPiecePages;
  return runs * (1 + moved * demand.views) + (std::max(0.0, followers - runs) + leaders) * ends;
}

PackingPlan PlanPacking(const SpanDemand& demand, double price, double most_mappings) {
  const double all = double{1} * demand.spans * demand.pages;
  auto plan = [&](uint32_t leaders, double pages, double mappings) {
    return PackingPlan{leaders, pages, all - pages, mappings};
  };
  auto cost = [&](const PackingPlan& of) {
    return of.mappings <= most_mappings ? of.pages + price * of.mappings : kInfinite;
  };
  if (demand.spans < 2) return plan(demand.spans, all, 0);
  const PackingPlan alone = plan(kNoLeaders, PackedShare(demand.slots, demand.live) * all,
                                 kMappingsPerSpan * demand.plain);
  if (price == 0 && cost(alone) < kInfinite) return alone;
  const uint32_t shares = std::min(demand.spans, kShares);
  auto in_runs = [&](uint32_t share) {
    const auto leaders = static_cast<uint32_t>(uint64_t{demand.spans} * share / shares);
    return plan(leaders, double{1} * demand.pages * leaders, RunMappings(demand, leaders));
  };
  // The cost falls up to the least, and rises from there on.
  uint32_t low = 1;
  uint32_t high = shares;
  while (low < high) {
    const uint32_t middle = (low + high) / 2;
    const double here = cost(in_runs(middle));
    if (here == kInfinite || cost(in_runs(middle + 1)) < here) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  PackingPlan best = in_runs(shares);  // where nobody follows, it drops
  for (const PackingPlan& other : {in_runs(low), alone}) {
    if (cost(other) < cost(best)) best = other;
  }
  return best;
}

PackingPlan PlanPacking(const MeshDemand& demand, double price) {
  PackingPlan sum;
  if (demand.pages == 0) return sum;
  for (uint32_t i = 0; i < kSpanLengths; i++) {
    const PackingPlan plan = PlanPacking(DemandOf(demand, i), price);
    sum.pages += plan.pages;
    sum.saved += plan.saved;
    sum.mappings += plan.mappings;
  }
  return sum;
}

double PriceOfMappings(std::span<const MeshDemand> demands, uint64_t mappings) {
  const auto left = static_cast<double>(mappings);
  if (MappingsAt(demands, 0) <= left) return 0;
  double price = kLeastPrice;
  if (MappingsAt(demands, price) <= left) return price;
  while (price < kMostPrice && MappingsAt(demands, price) > left) price *= 2;
  double low = price / 2;
  for (int i = 0; i < kHalvings; i++) {
    const double middle = (low + price) / 2;
    (MappingsAt(demands, middle) <= left ? price : low) = middle;
  }
  // Runs of the greatest length are worth the same, all of them: as many are made as there are
  // mappings for.
  return 2 * MappingsAt(demands, price) < left ? low : price;
}

}  // namespace mesh
