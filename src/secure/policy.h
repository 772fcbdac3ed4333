// SecurePolicy: what a hardened heap does, by its level (MESH_SECURE); docs/security.md.
//
// Room: secure. Thread rule: set once, before the heap is used; read-only afterwards.
#pragma once

#include <cstddef>
#include <cstdint>

#include "src/base/units.h"

namespace mesh {

struct SecurePolicy {
  int level = 0;
  // 1: slots have states, which every call looks at, and so takes the slow paths. kUndecided:
  // nobody has said; the heap has not been used yet.
  int has_states = kUndecided;
  // Sizes as asked for are kept, what is behind them in a slot or a last page is a canary, and
  // objects of no size have no memory.
  bool has_canaries = false;
  // Freed slots are zeros, and looked at before they are used again.
  bool clears = false;
  // Freed slots of a size class that a thread keeps back, and their bytes (Quarantine); 0: none.
  uint32_t quarantine_slots = 0;
  size_t quarantine_bytes = 0;
  bool guards_large = false;
  bool guards_spans = false;
  bool shuffles = false;  // SlotOrder::kShuffledRun

  static constexpr int kUndecided = -1;
  static constexpr int kHighestLevel = 4;
  static constexpr SecurePolicy Of(int level) {
    SecurePolicy policy;
    policy.level = level;
    policy.has_states = level >= 2;
    policy.has_canaries = level >= 2;
    policy.guards_large = level >= 2;
    policy.clears = level >= 3;
    policy.quarantine_slots = level >= 4 ? 256 : level == 3 ? 64 : 0;
    policy.quarantine_bytes = level >= 4 ? 32 * kKiB : level == 3 ? 8 * kKiB : 0;
    policy.guards_spans = level >= 4;
    policy.shuffles = level >= 4;
    return policy;
  }
};

extern SecurePolicy secure_policy __attribute__((visibility("hidden")));

}  // namespace mesh
