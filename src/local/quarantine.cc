// See quarantine.h.
#include "src/local/quarantine.h"

#include <algorithm>
#include <bit>
#include <new>

namespace mesh {
namespace {

uint32_t CapacityFor(SizeClass size_class, Quarantine::Limits limits) {
  const size_t fit = std::bit_floor(limits.bytes / kSizeClasses[size_class].size);
  return static_cast<uint32_t>(std::clamp<size_t>(fit, Quarantine::kLeastSlots, limits.slots));
}

}  // namespace

size_t Quarantine::Footprint(Limits limits) {
  size_t places = 0;
  for (SizeClass c = 1; c < kClassCount; c++) places += CapacityFor(c, limits);
  return sizeof(Quarantine) + places * sizeof(std::atomic<void*>);
}

Quarantine* Quarantine::Create(void* memory, Limits limits) {
  MESH_CHECK(std::has_single_bit(limits.slots) && limits.slots <= kMostSlots);
  auto* quarantine = new (memory) Quarantine();
  uint32_t begin = 0;
  for (SizeClass c = 1; c < kClassCount; c++) {
    quarantine->begins_[c] = begin;
    quarantine->rows_[c].store({begin, 0}, std::memory_order_relaxed);
    begin += CapacityFor(c, limits);
  }
  quarantine->begins_[kClassCount] = begin;
  return quarantine;
}

void Quarantine::Advance(SizeClass size_class) {
  const uint32_t begin = begins_[size_class];
  const uint32_t count = size(size_class) + 1;
  const uint32_t room = capacity(size_class);
  const Row row = count < room ? Row{begin + count, 0} : Row{begin, room - 1};
  rows_[size_class].store(row, std::memory_order_relaxed);
}

uint32_t Quarantine::size(SizeClass size_class) const {
  const Row row = rows_[size_class].load(std::memory_order_relaxed);
  return row.mask != 0 ? row.mask + 1 : row.first - begins_[size_class];
}

size_t Quarantine::bytes() const {
  size_t bytes = 0;
  for (SizeClass c = 1; c < kClassCount; c++) bytes += size_t{size(c)} * kSizeClasses[c].size;
  return bytes;
}

}  // namespace mesh
