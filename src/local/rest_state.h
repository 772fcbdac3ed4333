// RestState: who may use a thread's heap while the thread waits for something.
//
//   awake    the owner                    -> resting   Begin()
//   resting  nobody                       -> awake     End()
//                                         -> taken     TryTake(), by a thread that empties the heap
//   taken    the thread that has taken it -> empty     GiveBack()
//   empty    nobody                       -> awake     End()
//
// Room: local. Thread rule: Number(), Begin() and End() by the owner, End() also in a signal
// handler that comes in the middle of any of them; the others by any thread.
//
// [RS1] Each End() gives the state another number, so that a Begin() that a signal handler's End()
//       came before is refused, and a rest is known from the next one.
#pragma once

#include <atomic>
#include <cstdint>

#include "src/base/futex.h"

namespace mesh {

class RestState {
 public:
  constexpr RestState() = default;

  // Of the time awake; for Begin().
  uint32_t Number() const {
    // order: relaxed; the owner's own.
    return word_.load(std::memory_order_relaxed) >> kNumberShift;
  }
  // From now on others may take the heap. False: the thread has been awake in between; nothing has
  // changed.
  bool Begin(uint32_t number) {
    uint32_t awake = number << kNumberShift | kAwake;
    // order: release; pairs with the acquire in TryTake(): what the owner did is visible.
    return word_.compare_exchange_strong(awake, number << kNumberShift | kResting,
                                         std::memory_order_release, std::memory_order_relaxed);
  }
  // The owner needs its heap: waits until who has taken it is done, which empties it and no more.
  void End() {
    // order: relaxed; looked at again below.
    uint32_t word = word_.load(std::memory_order_relaxed);
    while (true) {
      if ((word & kStateMask) == kTaken) {
        FutexWait(word_, word);
        word = word_.load(std::memory_order_relaxed);
        continue;
      }
      const uint32_t awake = ((word >> kNumberShift) + 1) << kNumberShift | kAwake;
      // order: acquire; pairs with the release in GiveBack().
      if (word_.compare_exchange_weak(word, awake, std::memory_order_acquire,
                                      std::memory_order_relaxed)) {
        return;
      }
    }
  }

  // The rest that the thread is in, while nobody has taken or emptied its heap in it; 0: there is
  // none.
  uint32_t CurrentRest() const {
    // order: relaxed; TryTake() looks again.
    const uint32_t word = word_.load(std::memory_order_relaxed);
    return (word & kStateMask) == kResting ? word : 0;
  }
  // Takes the heap in that rest. False: it is over, or another thread was faster.
  bool TryTake(uint32_t rest) {
    // order: acquire; pairs with the release in Begin().
    return word_.compare_exchange_strong(rest, (rest & ~kStateMask) | kTaken,
                                         std::memory_order_acquire, std::memory_order_relaxed);
  }
  // It is empty.
  void GiveBack() {
    // order: relaxed; nobody else changes it now.
    const uint32_t word = word_.load(std::memory_order_relaxed);
    // order: release; pairs with the acquire in End().
    word_.store((word & ~kStateMask) | kEmpty, std::memory_order_release);
    FutexWake(word_, 1);
  }

 private:
  static constexpr int kNumberShift = 2;
  static constexpr uint32_t kStateMask = 3;
  static constexpr uint32_t kAwake = 0;
  static constexpr uint32_t kResting = 1;
  static constexpr uint32_t kTaken = 2;
  static constexpr uint32_t kEmpty = 3;

  std::atomic<uint32_t> word_{kAwake};  // number << kNumberShift | state; a futex
};

}  // namespace mesh
