// See drain_policy.h.
#include "src/global/drain_policy.h"

namespace mesh {
namespace {

uint64_t FreeOf(const DrainPolicy::Slots& slots) { return slots.all - slots.in_use; }

bool IsSparse(const DrainPolicy::Slots& slots) {
  const uint64_t free = FreeOf(slots);
  return free * DrainPolicy::kSparseShare > slots.all &&
         free * slots.size >= DrainPolicy::kLeastBytes;
}

bool IsDense(const DrainPolicy::Slots& slots) {
  return FreeOf(slots) * DrainPolicy::kDenseShare < slots.all;
}

}  // namespace

bool DrainPolicy::MayReturn(const Slots& slots) {
  const bool is_other = slots.all * 8 < turn_slots_ * 7 || slots.all * 7 > turn_slots_ * 8;
  if (is_other || IsDense(slots)) {
    turn_slots_ = slots.all;
    returned_ = 0;
  }
  return returned_ < turn_slots_ * kMostTurns;
}

bool DrainPolicy::OnFlush(const Slots& slots) {
  if (!MayReturn(slots) || !IsSparse(slots)) return false;
  if (skips_ == 0) return true;
  skips_--;
  return false;
}

bool DrainPolicy::OnReturn(const Slots& slots, uint32_t count, bool reused, bool waited) {
  returned_ += count;
  if (!reused || waited) {
    skips_ = 1u << patience_;
    if (patience_ < kMostPatience) patience_++;
    return false;
  }
  patience_ = 0;
  return MayReturn(slots) && !IsDense(slots);
}

}  // namespace mesh
