// DrainPolicy: when freed slots of a class go back to their spans before they are handed out again.
//
//   usually               free -> the thread's vector -> malloc: the slot that was freed last
//   a class that drains   free -> half a vector -> spans; the fullest -> the other half -> malloc
//
// Frees and mallocs of a thread meet in its vector. So while a program frees more than it
// allocates, new objects take the places of old ones, wherever these were, and all spans thin out
// alike: none is ever empty, and of those with many slots, half full, no two can be meshed. In a
// class that drains, some spans are filled up and the others empty. That costs each object some 50
// instructions; so it begins where much is free, and ends when little is, or when it does not help.
// Room: global. Thread rule: under the lock of the class that it is a part of.
//
// [DP1] While the slots of a class neither become dense nor change in number by an eighth, at most
//       kMostTurns times as many objects are returned.
#pragma once

#include <cstddef>
#include <cstdint>

namespace mesh {

class DrainPolicy {
 public:
  // Of all physical spans of a class.
  struct Slots {
    uint64_t all;
    uint64_t in_use;
    size_t size;  // bytes of each
  };

  // A thread that hands out what it has freed has too much of it, and has sent some away. Returns:
  // whether what it frees from now on is to be returned.
  bool OnFlush(const Slots& slots);

  // A thread has returned `count` slots. `reused`: it has allocated a fair part as many since the
  // last time. `waited`: it had to wait for the lock. Returns: whether it is to go on so.
  bool OnReturn(const Slots& slots, uint32_t count, bool reused, bool waited);

  // Least bytes of free slots, and their least and most share of all slots, for it to begin and to
  // end.
  static constexpr size_t kLeastBytes = size_t{64} << 10;
  static constexpr uint64_t kSparseShare = 32;
  static constexpr uint64_t kDenseShare = 64;
  static constexpr uint64_t kMostTurns = 2;
  // Flushes that are passed over after it did not help, at most: 2^kMostPatience.
  static constexpr uint32_t kMostPatience = 6;

 private:
  // Whether [DP1] lets it be.
  bool MayReturn(const Slots& slots);

  uint64_t turn_slots_ = 0;  // slots.all when returned_ began
  uint64_t returned_ = 0;
  uint32_t skips_ = 0;
  uint32_t patience_ = 0;
};

}  // namespace mesh
