// See mapping_budget.h.
#include "src/meshing/mapping_budget.h"

#include "src/os/process.h"

namespace mesh {

void MappingBudget::Refresh() {
  bool first = limit() == 0;
  if (first) {
    os::Result<size_t> maximum = os::MaxMappingCount();
    int64_t allowed = maximum.ok() ? static_cast<int64_t>(maximum.value) : kDefaultMaxMapCount;
    // order: relaxed; see limit().
    limit_.store(allowed / 4 * 3, std::memory_order_relaxed);
  }
  // Counting costs half a microsecond a mapping: only when it can change the answer.
  bool moved = used() > counted_ + limit() / 8 || is_exhausted();
  SetExhausted(false);
  if (!first && !(moved && used() > limit() / 2)) return;
  os::Result<size_t> count = os::MappingCount();
  // Without /proc the program is taken to have half of the limit for itself.
  int64_t now = count.ok() ? static_cast<int64_t>(count.value) : limit() / 2;
  if (!count.ok() && !first) return;
  // order: relaxed; a bound, publishes nothing.
  used_.store(now, std::memory_order_relaxed);
  counted_ = now;
}

bool MappingBudget::Take(int64_t count) {
  // order: relaxed; a bound, publishes nothing.
  if (used_.load(std::memory_order_relaxed) + count > limit()) {
    SetExhausted(true);
    return false;
  }
  used_.fetch_add(count, std::memory_order_relaxed);
  return true;
}

void MappingBudget::Give(int64_t count) {
  // order: relaxed; a bound, publishes nothing.
  used_.fetch_sub(count, std::memory_order_relaxed);
  given_.fetch_add(static_cast<uint64_t>(count), std::memory_order_relaxed);
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
