// SpinLock: a Lock policy that needs nothing but one byte of zeros, so that it works before any
// constructor has run. For short critical sections; waiters give up the processor between looks.
//
// Threads: any number. Not recursive, not fair, and not to be held while blocking.
#pragma once

#include <sched.h>

#include <atomic>

namespace heaplayers {

class SpinLock {
 public:
  constexpr SpinLock() = default;
  SpinLock(const SpinLock&) = delete;
  SpinLock& operator=(const SpinLock&) = delete;

  void lock() {
    // order: acquire; pairs with release in unlock(). What the last holder wrote becomes visible.
    while (held_.exchange(true, std::memory_order_acquire)) {
      // order: relaxed; only a look whether trying again is worth a write to the cache line.
      while (held_.load(std::memory_order_relaxed)) sched_yield();
    }
  }

  void unlock() {
    // order: release; pairs with acquire in lock(). Publishes what was written under the lock.
    held_.store(false, std::memory_order_release);
  }

 private:
  std::atomic<bool> held_{false};
};

}  // namespace heaplayers
