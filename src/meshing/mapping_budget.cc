// See mapping_budget.h.
#include "src/meshing/mapping_budget.h"

#include <algorithm>

#include "src/os/process.h"

namespace mesh {

// [MB1]
int64_t MappingBudget::spare() const {
  const int64_t least = maximum_ / kLeastSpare;
  const int64_t most = maximum_ / kMostSpare;
  return knows_others_ ? std::clamp(kSpareTimes * others_, least, most) : most;
}

void MappingBudget::SetLimit(int64_t pages, int64_t meshed_pages) {
  int64_t limit = maximum_ - spare();
  if (pages != kNoForks) {
    // What is meshed costs a fork nothing any more, and leaves as much time for mappings.
    int64_t meshing = (pages + meshed_pages) / kPagesPerMapping;
    if (meshing < kAlways) meshing = kAlways;
    if (others_ + meshing < limit) limit = others_ + meshing;
  }
  // order: relaxed; see limit().
  limit_.store(limit, std::memory_order_relaxed);
}

// Counting costs half a microsecond a mapping: only when it can change the answer.
bool MappingBudget::MustCount() const {
  if (used() <= limit() / 2) return false;
  if (used() > counted_ + limit() / 8) return true;
  // order: relaxed; counters, publish nothing.
  uint64_t changes = taken_.load(std::memory_order_relaxed) + given() - changes_at_count_;
  return is_exhausted() && changes > static_cast<uint64_t>(limit() / 32);
}

void MappingBudget::Refresh(int64_t pages, int64_t meshed_pages) {
  bool first = maximum_ == 0;
  if (first) {
    os::Result<size_t> maximum = os::MaxMappingCount();
    maximum_ = maximum.ok() ? static_cast<int64_t>(maximum.value) : kDefaultMaxMapCount;
  }
  SetLimit(pages, meshed_pages);
  bool must_count = first || MustCount();
  SetExhausted(false);
  if (!must_count) return;
  os::Result<size_t> count = os::MappingCount();
  if (!count.ok() && !first) return;
  // Without /proc the program is taken to have half of the limit for itself.
  int64_t now = count.ok() ? static_cast<int64_t>(count.value) : limit() / 2;
  // What has come beside those that were counted here is the program's.
  others_ = first ? now : std::max(others_ + now - used(), int64_t{0});
  knows_others_ = count.ok();
  // order: relaxed; bounds and counters, publish nothing.
  used_.store(now, std::memory_order_relaxed);
  changes_at_count_ = taken_.load(std::memory_order_relaxed) + given();
  counted_ = now;
  SetLimit(pages, meshed_pages);
}

bool MappingBudget::Take(int64_t count, bool for_a_while) {
  const int64_t most = limit() + (for_a_while ? spare() / kLent : 0);
  // order: relaxed; a bound, publishes nothing.
  if (used_.load(std::memory_order_relaxed) + count > most) {
    SetExhausted(true);
    return false;
  }
  used_.fetch_add(count, std::memory_order_relaxed);
  taken_.fetch_add(static_cast<uint64_t>(count), std::memory_order_relaxed);
  return true;
}

void MappingBudget::Adjust(int64_t change) {
  // order: relaxed; a bound, publishes nothing.
  used_.fetch_add(change, std::memory_order_relaxed);
}

void MappingBudget::Give(int64_t count) {
  Adjust(-count);
  // order: relaxed; a counter, publishes nothing.
  given_.fetch_add(1, std::memory_order_relaxed);
}

uint64_t MappingBudget::given() const {
  // order: relaxed; a counter, publishes nothing.
  return given_.load(std::memory_order_relaxed);
}

int64_t MappingBudget::used() const {
  // order: relaxed; a bound, publishes nothing.
  return used_.load(std::memory_order_relaxed);
}

}  // namespace mesh
