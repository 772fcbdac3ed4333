// SlotGuard: what a hardened heap keeps of each slot, and what it looks at when one is freed or
// used again.
//
//   slot   | the object: `size` bytes | canary: at least a byte, the last one always |
//   free   | zeros ...                                                | canary: a byte |
//   states | slack, freed? | more of it, if it is long | unused ...                   a byte for 16
//
// Room: secure; above arena. Thread rule: a slot belongs to one thread at a time. The one exception
// are two threads that free the same object: one of them is found out.
//
// [SG1] The state of a slot is that of its object; where it holds none, it is 0 or has kFreed. So
//       are states behind the first one of a slot, but for those of long slack. Those of program
//       heaps' pages mean nothing.
// [SG2] Where there are canaries, the last byte of every slot and the tail of every unit is its
//       canary, at all times and through every address.
// [SG3] Where slots are cleared, one that holds no object is zeros up to that byte, whoever has it:
//       a thread, the global heap, or nobody since its span began. But one of more than kUsualSlot
//       bytes may hold anything while its state is 0. And in spans that are meshed, where it may
//       have been another span's, they are so while a thread has them: they are looked at before
//       they go to the global heap, and emptied when they leave it.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>

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

  // Makes a slot an object of `size` bytes. Ends the program when it was written to while it was
  // free. `zeroed`: the object's bytes are zeros.
  static void Hand(void* slot, SizeClass size_class, size_t size, bool zeroed);
  // Makes an object, a slot's start, a freed slot. Ends the program when it is none, or when its
  // canary, or the byte before it, was written to.
  static void Free(void* object, SizeClass size_class);
  // The same, where nothing is unusual, and without a call; of a slot of kUsualSlot at most, whose
  // object need not be zeros. False: nothing has been done.
  static MESH_ALWAYS_INLINE bool TryHand(void* slot, SizeClass size_class, size_t size);
  // `made`: the size that it has to have; kAnySize: any. kNot: nothing has been done. kSecond:
  // RefuseSecond() has to follow.
  enum class Tried { kDone, kNot, kSecond };
  static MESH_ALWAYS_INLINE Tried TryFree(void* object, PageEntry entry, size_t made);
  // Ends the program. To the compiler it returns, so that it may be jumped to.
  static void RefuseSecond(const void* object);
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
  // Makes a slot that holds no object as [SG2] and [SG3] want it.
  static void Empty(void* slot, SizeClass size_class);
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

  // Brings [SG2] and [SG3] about in a fresh span, whose memory holds anything (`dirty`) or zeros.
  static void Start(void* span, SizeClass size_class, uint32_t units, bool dirty);
  // Brings [SG2] about in memory at `address` that a span is going to show.
  static void Prepare(void* address, SizeClass size_class, uint32_t units);

  // Bytes.
  static constexpr size_t kUsualSlot = 1024;

 private:
  static constexpr uint8_t kFreed = 0x80;
  static constexpr uint8_t kWhole = 0x40;
  // Of the first byte: these bits and a second one, less one, which slots of more than kUsualSlot
  // always have; else it is the slack.
  static constexpr uint8_t kLong = 0x20;
  static constexpr size_t kMostShort = SlotEnd::kMostBytes;
  static_assert(kMostShort < kLong && kMostSlack <= size_t{kLong} << 8);

  static std::atomic<uint8_t>* StateOf(const void* slot) {
    return PageMap::StateOf(reinterpret_cast<uintptr_t>(slot));
  }
  static size_t SlotSize(SizeClass size_class) { return kSizeClasses[size_class].size; }
  static char* Behind(const void* slot, SizeClass size_class) {
    return static_cast<char*>(const_cast<void*>(slot)) + SlotSize(size_class);
  }
  static bool IsShort(uint8_t first) { return static_cast<uint8_t>(first - 1) < kMostShort; }
  static size_t SlackOf(const std::atomic<uint8_t>* state);
  // The state of an object in a slot of the class with so much slack, 1 to kMostSlack bytes of it.
  static void SetSlack(std::atomic<uint8_t>* state, SizeClass size_class, size_t slack);
  // Of an object whose state was `seen`. Returns: another thread has freed it since.
  static MESH_ALWAYS_INLINE bool MarkFreed(std::atomic<uint8_t>* state, uint8_t seen);
  static void RequireEnd(void* object, SizeClass size_class, size_t slack);
  static void RequireBefore(const void* object);
  // Whether it is the first of its span: nobody knows what lies before it.
  static bool IsFirst(const void* object, PageEntry entry) {
    const bool begins_page = reinterpret_cast<uintptr_t>(object) % kPageSize == 0;
    return MESH_UNLIKELY(begins_page) && entry.page_in_span() == 0;
  }
  // Whether the byte before an object is canary: another thread's slot, who may be writing the same
  // there again. [SG2]
  __attribute__((no_sanitize("thread"))) static bool IsWholeBefore(const void* object) {
    // That of one period on, which is as good.
    return *(static_cast<const uint8_t*>(object) - 1) ==
           Canary::BytesFor(object)[Canary::kPeriod - 1];
  }
  [[noreturn]] static void RefuseEnd(const void* object);
  [[noreturn]] static void RefuseBefore(const void* object);
  [[noreturn]] static void RefuseTouched(const void* slot);

  // See HandWhole() and ExpectThreads().
  static std::atomic<bool> looks_before_;
  static std::atomic<bool> has_threads_ __attribute__((visibility("hidden")));
};

// order: relaxed, in all of these but for the exchange; a slot is one thread's.

inline bool SlotGuard::MarkFreed(std::atomic<uint8_t>* state, uint8_t seen) {
  const auto freed = static_cast<uint8_t>(seen | kFreed);
  if (MESH_LIKELY(!has_threads_.load(std::memory_order_relaxed))) {
    state->store(freed, std::memory_order_relaxed);
    return false;
  }
  // Freed by another thread, it may also have been handed out again by now.
  return state->exchange(freed) != seen;
}

inline bool SlotGuard::TryHand(void* slot, SizeClass size_class, size_t size) {
  const size_t slot_size = SlotSize(size_class);
  const size_t slack = slot_size - size;
  MESH_DCHECK(slot_size <= kUsualSlot || slack > kMostShort);
  if (MESH_UNLIKELY(slack > kMostShort)) return false;
  const SlotEnd end(Behind(slot, size_class));
  if (MESH_LIKELY(secure_policy.clears)) {
    const bool is_free = IsFreeSlot(slot, slot_size - SlotEnd::kMostBytes, end);  // [SG3]
    if (MESH_UNLIKELY(!is_free)) return false;
    end.FillBehindZeros(slack);
  } else {
    end.Fill(slack);
  }
  StateOf(slot)->store(static_cast<uint8_t>(slack), std::memory_order_relaxed);
  return true;
}

inline SlotGuard::Tried SlotGuard::TryFree(void* object, PageEntry entry, size_t made) {
  std::atomic<uint8_t>* state = StateOf(object);
  const uint8_t slack = state->load(std::memory_order_relaxed);
  const size_t slot_size = SlotSizeOf(entry);
  if (MESH_UNLIKELY(!IsShort(slack))) return Tried::kNot;
  if (made != kAnySize && MESH_UNLIKELY(slot_size - slack != made)) return Tried::kNot;
  const SlotEnd end(static_cast<char*>(object) + slot_size);
  const bool is_whole = end.IsCanary(slack) && (IsFirst(object, entry) || IsWholeBefore(object));
  if (MESH_UNLIKELY(!is_whole)) return Tried::kNot;
  if (MESH_UNLIKELY(MarkFreed(state, slack))) return Tried::kSecond;
  if (secure_policy.clears) {
    ClearBlocks(object, slot_size - SlotEnd::kMostBytes);
    end.FillBehindZeros(1);
  }
  return Tried::kDone;
}

}  // namespace mesh
