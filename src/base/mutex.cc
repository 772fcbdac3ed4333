// See mutex.h.
#include "src/base/mutex.h"

#include "src/base/check.h"
#include "src/base/futex.h"

namespace mesh {
namespace {

// Turns before sleeping; a turn is about 40 cycles, so 100 are about a microsecond: the length of a
// refill, below the price of a sleep and a wake-up.
constexpr int kSpinTurns = 100;

void Pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#else
  asm volatile("yield");
#endif
}

}  // namespace

void Mutex::LockSlow() {
  // order: relaxed; see set_meter().
  WaitMeter* meter = meter_.load(std::memory_order_relaxed);
  if (MESH_LIKELY(meter == nullptr)) return Wait();
  uint64_t began_ns = meter->Begin();
  Wait();
  meter->End(began_ns);
}

bool Mutex::LockUnlessLongSlow() {
  // order: relaxed; see set_meter().
  if (WaitMeter* meter = meter_.load(std::memory_order_relaxed); meter != nullptr) {
    meter->NoteNone();
    return false;
  }
  const bool taken = Spin() || SleepUnlessLong();
  if (taken) NoteTaken();
  return taken;
}

bool Mutex::SleepUnlessLong() {
  // order: acquire; pairs with the release in Unlock().
  while (state_.exchange(kHeldWithSleepers, std::memory_order_acquire) != kFree) {
    // Not before the exchange: who was woken alone of several has to leave word of the others.
    // order: relaxed; see set_meter().
    WaitMeter* meter = meter_.load(std::memory_order_relaxed);
    if (meter != nullptr) {
      meter->NoteNone();
      return false;
    }
    FutexWait(state_, kHeldWithSleepers);
  }
  return true;
}

// Returns: whether the lock was taken within kSpinTurns.
bool Mutex::Spin() {
  for (int turn = 0; turn < kSpinTurns; turn++) {
    uint32_t expected = kFree;
    // order: relaxed load, acquire on success; pairs with the release in Unlock().
    if (state_.load(std::memory_order_relaxed) == kFree &&
        state_.compare_exchange_weak(expected, kHeld, std::memory_order_acquire,
                                     std::memory_order_relaxed)) {
      return true;
    }
    Pause();
  }
  return false;
}

void Mutex::Wait() {
  if (Spin()) return;
  // order: acquire; pairs with the release in Unlock().
  while (state_.exchange(kHeldWithSleepers, std::memory_order_acquire) != kFree) {
    FutexWait(state_, kHeldWithSleepers);
  }
}

void Mutex::WakeOne() { FutexWake(state_, 1); }

#if MESH_DEBUG
namespace {
// How many locks of each rank this thread holds.
thread_local uint32_t held_by_rank[static_cast<int>(LockRank::kLeaf) + 1];
}  // namespace

void Mutex::NoteTaken() {
  int rank = static_cast<int>(rank_);
  for (int above = rank + 1; above <= static_cast<int>(LockRank::kLeaf); above++) {
    if (held_by_rank[above] != 0) Fatal("lock order: a lock of a higher rank is held [M1]");
  }
  bool has_equals = rank_ == LockRank::kSizeClass || rank_ == LockRank::kPendingFrees ||
                    rank_ == LockRank::kRunCache;
  if (held_by_rank[rank] != 0 && !has_equals) {
    Fatal("lock order: two locks of one rank [M1]");
  }
  held_by_rank[rank]++;
}

void Mutex::NoteReleased() { held_by_rank[static_cast<int>(rank_)]--; }
#endif

}  // namespace mesh
