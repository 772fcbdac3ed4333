// SlotGuard: what a hardened heap keeps of each slot, and what it looks at when one is freed or
// used again.
//
//   slot   | the object: `size` bytes | canary: at least a byte, the last one always |
//   states | slack & 15, freed? | slack >> 4 | unused ...                             a byte for 16
//
// Room: secure; above arena. Thread rule: a slot belongs to one thread at a time. The one exception
// are two threads that free the same object: one of them is found out.
//
// [SG1] The state of a slot is 0 unless a thread holds it: as an object, or freed and not yet given
//       back to the global heap. Only slots have states.
// [SG2] Where there are canaries, the last byte of every slot and the tail of every unit is its
//       canary, at all times and through every address.
// [SG3] Where slots are cleared, one with a state of kFreed is zeros and canary.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "src/arena/page_map.h"
#include "src/base/check.h"
#include "src/secure/canary.h"
#include "src/secure/policy.h"
#include "src/secure/slot_bytes.h"
#include "src/sizeclass/size_class.h"

namespace mesh {

class SlotGuard {
 public:
  // Most bytes of a slot behind its object; who leaves more needs another place.
  static constexpr size_t kMostSlack = 4096;
  // Least bytes behind an object.
  static constexpr size_t kLeastSlack = 1;

  // Makes a slot an object of `size` bytes. Ends the program when it was written to since it was
  // freed. `zeroed`: the object's bytes are zeros.
  static MESH_ALWAYS_INLINE void Hand(void* slot, SizeClass size_class, size_t size, bool zeroed);
  // Makes an object, a slot's start, a freed slot. Ends the program when it is none, or when its
  // canary, or the byte before it, was written to.
  static MESH_ALWAYS_INLINE void Free(void* object, SizeClass size_class);
  // Ends the program unless `object`, a slot's start, is one.
  static void RequireInUse(const void* object);
  // The bytes that the program may use; of an object.
  static size_t SizeOf(const void* object, SizeClass size_class);
  // Makes a slot an object that takes all of it, without a canary: one that the program's own heap
  // has left to the main heap. From then on, what is before objects is not looked at: [SG2] does
  // not hold.
  static void HandWhole(void* slot);
  // Gives an object another size that its slot has room for. What it gains is zeros.
  static void Resize(void* object, SizeClass size_class, size_t size);
  // Before a freed slot goes back to the global heap. Ends the program when it was written to.
  static void Settle(void* slot, SizeClass size_class);
  // The same, but whatever it is: its thread was caught in the middle of something.
  static void Forget(void* slot, SizeClass size_class);
  static bool IsInUse(const void* slot) {
    // order: relaxed; a slot is one thread's.
    uint8_t seen = StateOf(slot)->load(std::memory_order_relaxed);
    return seen != 0 && (seen & kFreed) == 0;
  }
  static bool IsFreed(const void* slot) {
    // order: relaxed; a slot is one thread's.
    return (StateOf(slot)->load(std::memory_order_relaxed) & kFreed) != 0;
  }
  // Ends the program when a freed slot was written to.
  static void RequireUntouched(const void* slot, SizeClass size_class);

  // From now on two threads may free an object at once. Before there is a second one.
  static void ExpectThreads() {
    // order: relaxed; the new thread's start orders it.
    has_threads_.store(true, std::memory_order_relaxed);
  }

  // Brings [SG2] about in the memory of a span at `address`.
  static void Prepare(void* address, SizeClass size_class, uint32_t units);

 private:
  static constexpr uint8_t kFreed = 0x80;
  static constexpr uint8_t kWhole = 0x40;

  static std::atomic<uint8_t>* StateOf(const void* slot) {
    return PageMap::StateOf(reinterpret_cast<uintptr_t>(slot));
  }
  static size_t SlotSize(SizeClass size_class) { return kSizeClasses[size_class].size; }
  static char* Behind(const void* slot, SizeClass size_class) {
    return static_cast<char*>(const_cast<void*>(slot)) + SlotSize(size_class);
  }
  // How many times kLow bytes, of that.
  static MESH_ALWAYS_INLINE size_t HighOf(const std::atomic<uint8_t>* state, SizeClass size_class);
  static MESH_ALWAYS_INLINE size_t SlackOf(const std::atomic<uint8_t>* state, SizeClass size_class);
  // The state of an object with so much slack, 1 to kMostSlack bytes of it.
  static MESH_ALWAYS_INLINE void SetSlack(std::atomic<uint8_t>* state, SizeClass size_class,
                                          size_t slack);
  // Of an object whose state was `seen`. Returns: another thread has done it since it was looked
  // at.
  static MESH_ALWAYS_INLINE bool MarkFreed(std::atomic<uint8_t>* state, uint8_t seen);
  static void HandSlowly(void* slot, SizeClass size_class, size_t size, bool zeroed);
  static void FreeSlowly(void* object, SizeClass size_class);
  static bool IsUntouched(const void* slot, SizeClass size_class, size_t slack);
  static void RequireEnd(void* object, SizeClass size_class, size_t slack);
  static MESH_ALWAYS_INLINE void RequireBefore(const void* object);
  // Another thread's slot, who may be writing the same canary there again. [SG2]
  __attribute__((no_sanitize("thread"))) static uint8_t LastOfSlot(const uint8_t* at) {
    return *at;
  }
  [[noreturn]] static void RefuseEnd(const void* object);
  [[noreturn]] static void RefuseBefore(const void* object);
  [[noreturn]] static void RefuseTouched(const void* slot);

  // Bytes that a state of the first byte tells apart; the second byte has the multiples.
  static constexpr size_t kLow = 16;
  // See HandWhole() and ExpectThreads().
  static std::atomic<bool> looks_before_;
  static std::atomic<bool> has_threads_;
};

// order: relaxed, in all of these but for the exchange; a slot is one thread's.

inline size_t SlotGuard::HighOf(const std::atomic<uint8_t>* state, SizeClass size_class) {
  return SlotSize(size_class) > kLow ? state[1].load(std::memory_order_relaxed) : 0;
}

inline size_t SlotGuard::SlackOf(const std::atomic<uint8_t>* state, SizeClass size_class) {
  const uint8_t first = state[0].load(std::memory_order_relaxed) & ~kFreed;
  if (MESH_UNLIKELY(first == kWhole)) return 0;
  return HighOf(state, size_class) * kLow + first;
}

inline void SlotGuard::SetSlack(std::atomic<uint8_t>* state, SizeClass size_class, size_t slack) {
  const size_t less = slack - 1;
  if (SlotSize(size_class) > kLow) {
    state[1].store(static_cast<uint8_t>(less / kLow), std::memory_order_relaxed);
  }
  state[0].store(static_cast<uint8_t>(less % kLow + 1), std::memory_order_relaxed);
}

inline bool SlotGuard::MarkFreed(std::atomic<uint8_t>* state, uint8_t seen) {
  const auto freed = static_cast<uint8_t>(seen | kFreed);
  if (!has_threads_.load(std::memory_order_relaxed)) {
    state->store(freed, std::memory_order_relaxed);
    return false;
  }
  return (state->exchange(freed) & kFreed) != 0;
}

inline void SlotGuard::RequireBefore(const void* object) {
  auto* before = static_cast<const uint8_t*>(object) - 1;
  const auto address = reinterpret_cast<uintptr_t>(object);
  const bool may_be_first = address % kPageSize == 0;
  if (MESH_UNLIKELY(may_be_first) && PageMap::Find(address).page_in_span() == 0) return;
  if (MESH_LIKELY(LastOfSlot(before) == Canary::At(reinterpret_cast<uintptr_t>(before)))) return;
  if (looks_before_.load(std::memory_order_relaxed)) RefuseBefore(object);
}

inline void SlotGuard::Hand(void* slot, SizeClass size_class, size_t size, bool zeroed) {
  std::atomic<uint8_t>* state = StateOf(slot);
  const size_t slot_size = SlotSize(size_class);
  const size_t slack = slot_size - size;
  if (MESH_UNLIKELY(slack > SlotEnd::kMostBytes)) {
    return HandSlowly(slot, size_class, size, zeroed);
  }
  const SlotEnd end(Behind(slot, size_class), slack);
  const size_t before_end = slot_size - SlotEnd::kMostBytes;
  if (!secure_policy.clears) {
    if (zeroed) memset(slot, 0, size);
    end.Fill();
  } else if (state->load(std::memory_order_relaxed) == 0) {
    ClearBlocks(slot, before_end);
    end.FillBehindZeros();
  } else {  // [SG3]
    const size_t old_slack = SlackOf(state, size_class);
    if (MESH_UNLIKELY(old_slack > SlotEnd::kMostBytes)) {
      return HandSlowly(slot, size_class, size, zeroed);
    }
    const SlotEnd old(Behind(slot, size_class), old_slack);
    const bool is_untouched = AreZeroBlocks(slot, before_end) && old.IsCanaryBehindZeros();
    if (MESH_UNLIKELY(!is_untouched)) RefuseTouched(slot);
    end.FillBehindZeros();
  }
  SetSlack(state, size_class, slack);
}

inline void SlotGuard::Free(void* object, SizeClass size_class) {
  std::atomic<uint8_t>* state = StateOf(object);
  // In use, with so much behind it that the first byte says it all.
  const uint8_t slack = state->load(std::memory_order_relaxed);
  static_assert(kLow == SlotEnd::kMostBytes);
  const bool is_usual = static_cast<uint8_t>(slack - 1) < kLow && HighOf(state, size_class) == 0;
  if (MESH_UNLIKELY(!is_usual || MarkFreed(state, slack))) return FreeSlowly(object, size_class);
  const SlotEnd end(Behind(object, size_class), slack);
  if (MESH_UNLIKELY(!end.IsCanary())) RefuseEnd(object);
  RequireBefore(object);
  if (!secure_policy.clears) return;
  ClearBlocks(object, SlotSize(size_class) - SlotEnd::kMostBytes);
  end.FillBehindZeros();
}

}  // namespace mesh
