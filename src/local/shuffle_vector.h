// ShuffleVector: a thread's free slots of one size class, in random order.
//
// Random placement is what makes sparse spans meshable, whatever the order in which the program
// allocates and frees (PLDI'19 s.4.2): slots come in shuffled from a refill, and a freed one swaps
// places with a random other. Slots of several spans mix.
// Room: local. Thread rule: the owning thread alone; any thread may ask for the size, and a fork's
// child reads what those of other threads hold.
//
// [SV1] slots_[0, size) are free slots, each once, at every instruction: a fork may happen between
//       any two, and the child gives back what it finds. (A slot in flight is lost there, never
//       handed out twice.)
#pragma once

#include <atomic>
#include <cstdint>

#include "src/base/check.h"
#include "src/base/random.h"

namespace mesh {

class ShuffleVector {
 public:
  constexpr ShuffleVector() = default;

  // `slots` has room for `limit` pointers and outlives this vector. Not shuffled: first in, last
  // out.
  void Init(void** slots, uint32_t limit, bool shuffle) {
    slots_ = slots;
    limit_ = static_cast<uint16_t>(limit);
    capacity_ = static_cast<uint16_t>(limit < kFirstCapacity ? limit : kFirstCapacity);
    shuffle_ = shuffle;
  }

  uint32_t size() const {
    // order: relaxed; written by the owner alone. Others read it for statistics.
    return size_.load(std::memory_order_relaxed);
  }
  uint32_t capacity() const { return capacity_; }
  bool is_full() const { return size() >= capacity_; }
  bool shuffle() const { return shuffle_; }
  void** slots() { return slots_; }

  // A free slot, or null when there is none.
  MESH_ALWAYS_INLINE void* Pop() {
    uint32_t count = size();
    if (MESH_UNLIKELY(count == 0)) return nullptr;
    void* slot = slots_[count - 1];
    set_size(count - 1);
    return slot;
  }

  // Adds a freed slot; must not be full.
  MESH_ALWAYS_INLINE void Push(void* slot, Random& random) {
    uint32_t count = size();
    uint32_t at = MESH_LIKELY(shuffle_) ? random.Below(count + 1) : count;
    // [SV1]: the one that moves is at its new place before its old one is overwritten.
    slots_[count] = slots_[at];
    std::atomic_signal_fence(std::memory_order_seq_cst);
    slots_[at] = slot;
    std::atomic_signal_fence(std::memory_order_seq_cst);
    set_size(count + 1);
  }

  // After slots were written behind or taken from the end by a refill or a flush.
  void set_size(uint32_t size) {
    // order: relaxed; see size().
    size_.store(size, std::memory_order_relaxed);
  }

  // A thread that refills or flushes often gets room for more, up to the limit.
  void Grow() {
    uint32_t doubled = 2u * capacity_;
    capacity_ = static_cast<uint16_t>(doubled < limit_ ? doubled : limit_);
  }

 private:
  // Slots that a thread may hold of a class at first.
  static constexpr uint32_t kFirstCapacity = 8;

  void** slots_ = nullptr;
  std::atomic<uint32_t> size_{0};
  uint16_t capacity_ = 0;
  uint16_t limit_ : 15 = 0;
  uint16_t shuffle_ : 1 = 0;
};
static_assert(sizeof(ShuffleVector) == 16);

}  // namespace mesh
