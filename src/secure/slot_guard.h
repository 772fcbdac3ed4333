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
#include "src/secure/policy.h"
#include "src/sizeclass/size_class.h"

namespace mesh {

class SlotGuard {
 public:
  // Most bytes of a slot behind its object; who leaves more needs another place.
  static constexpr size_t kMostSlack = 4096;
  // Least bytes behind an object.
  static size_t least_slack() { return secure_policy.has_canaries ? 1 : 0; }

  // Makes a slot an object of `size` bytes. Ends the program when it was written to since it was
  // freed. `zeroed`: the object's bytes are zeros.
  static void Hand(void* slot, SizeClass size_class, size_t size, bool zeroed);
  // Makes an object, a slot's start, a freed slot. Ends the program when it is none, or when its
  // canary, or the byte before it, was written to.
  static void Free(void* object, SizeClass size_class);
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

  // Brings [SG2] about in the memory of a span at `address`.
  static void Prepare(void* address, SizeClass size_class, uint32_t units);

 private:
  static constexpr uint8_t kFreed = 0x80;
  static constexpr uint8_t kWhole = 0x40;

  static std::atomic<uint8_t>* StateOf(const void* slot) {
    return PageMap::StateOf(reinterpret_cast<uintptr_t>(slot));
  }
  static size_t SlackOf(const std::atomic<uint8_t>* state, SizeClass size_class);
  static void SetSlack(std::atomic<uint8_t>* state, SizeClass size_class, size_t slack);
  static bool IsUntouched(const void* slot, SizeClass size_class, size_t slack);
  static void RequireCanary(const void* object, SizeClass size_class, size_t slack);
  static bool IsFirstOfSpan(const void* object);
};

}  // namespace mesh
