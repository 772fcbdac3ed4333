// Mutex: a futex lock that allocates nothing, knows its rank and survives fork.
//
// Drepper, "Futexes Are Tricky" (2011), mutex 2: 0 free, 1 held, 2 held and somebody may sleep.
// A short spin comes first: nearly every section here is shorter than a sleep.
// Room: base. Under a Mutex: no allocation from the heap, ever; blocking only where LockRank says.
//
// [M1] In debug builds a thread takes locks in strictly rising rank, except locks of one rank that
//      are taken in a fixed order at fork (kSizeClass, kPendingFrees, kRunCache).
#pragma once

#include <atomic>
#include <cstdint>

#include "src/base/lock_rank.h"
#include "src/base/thread_annotations.h"
#include "src/base/wait_meter.h"

namespace mesh {

class CAPABILITY("mutex") Mutex {
 public:
  explicit constexpr Mutex(LockRank rank) : rank_(rank) {}
  Mutex(const Mutex&) = delete;
  Mutex& operator=(const Mutex&) = delete;

  void Lock() ACQUIRE() {
    uint32_t expected = kFree;
    // order: acquire; pairs with the release in Unlock(). What the last holder wrote is visible.
    if (!state_.compare_exchange_strong(expected, kHeld, std::memory_order_acquire,
                                        std::memory_order_relaxed)) {
      LockSlow();
    }
    NoteTaken();
  }

  // The same, but from a holder that keeps the lock for long, and says so by a meter, the caller is
  // sent away. Returns: whether the lock was taken.
  bool LockUnlessLong() TRY_ACQUIRE(true) { return TryLock() || LockUnlessLongSlow(); }

  bool TryLock() TRY_ACQUIRE(true) {
    uint32_t expected = kFree;
    // order: acquire; as in Lock().
    bool taken = state_.compare_exchange_strong(expected, kHeld, std::memory_order_acquire,
                                                std::memory_order_relaxed);
    if (taken) NoteTaken();
    return taken;
  }

  void Unlock() RELEASE() {
    NoteReleased();
    // order: release; pairs with the acquire in Lock(). Publishes the section to the next holder.
    if (state_.exchange(kFree, std::memory_order_release) == kHeldWithSleepers) WakeOne();
  }

  LockRank rank() const { return rank_; }

  // By the holder: from here on those who have to wait are counted in `meter`, and who need not
  // wait is sent away; null: no more.
  void set_meter(WaitMeter* meter) {
    // order: relaxed; a meter outlives the lock, and who misses it is not counted.
    meter_.store(meter, std::memory_order_relaxed);
  }

 private:
  static constexpr uint32_t kFree = 0;
  static constexpr uint32_t kHeld = 1;
  static constexpr uint32_t kHeldWithSleepers = 2;

  void LockSlow();
  bool LockUnlessLongSlow();
  bool SleepUnlessLong();
  bool Spin();
  void Wait();
  void WakeOne();
#if MESH_DEBUG
  void NoteTaken();
  void NoteReleased();
#else
  void NoteTaken() {}
  void NoteReleased() {}
#endif

  std::atomic<uint32_t> state_{kFree};
  std::atomic<WaitMeter*> meter_{nullptr};
  const LockRank rank_;
};

class SCOPED_CAPABILITY MutexLock {
 public:
  explicit MutexLock(Mutex& mutex) ACQUIRE(mutex) : mutex_(mutex) { mutex_.Lock(); }
  ~MutexLock() RELEASE() { mutex_.Unlock(); }
  MutexLock(const MutexLock&) = delete;
  MutexLock& operator=(const MutexLock&) = delete;

 private:
  Mutex& mutex_;
};

}  // namespace mesh
