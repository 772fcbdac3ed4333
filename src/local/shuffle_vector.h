// ShuffleVector: a thread's free slots of one size class.
//
//   begin_[-1]   begin_ ... top_    ...  end_   ... begin_ + limit
//   null         free slots         room        room to come, by Grow()
//
// Random placement is what makes sparse spans meshable, whatever the order in which the program
// allocates and frees (PLDI'19 s.4.2). The randomness comes from the refill, which writes the free
// slots of a span here from a random one on, or shuffled (SlotOrder). A freed slot goes on top and
// is the next to be handed out, while its lines are in the cache.
// (Published Mesh swaps each freed slot with a random other. docs/design.md has what that buys.)
// Room: local. Thread rule: the owning thread alone; any thread may ask for the size, and a fork's
// child reads what those of other threads hold.
//
// [SV1] [begin_, top_) are free slots, each once, at every instruction: a fork may happen between
//       any two, and the child gives back what it finds. (A slot in flight is lost there, never
//       handed out twice.)
// [SV2] The word before begin_ is null: an empty vector is known by the slot that it hands out.
#pragma once

#include <atomic>
#include <cstdint>
#include <cstring>

#include "src/base/check.h"

namespace mesh {

class ShuffleVector {
 public:
  // Nothing in it and room for nothing: every fast path ends in the slow one.
  constexpr ShuffleVector() = default;

  // Words of storage that a vector of `limit` slots needs.
  static constexpr uint32_t StorageFor(uint32_t limit) { return limit + 1; }

  // `storage` has StorageFor(limit) words and outlives this vector.
  void Init(void** storage, uint32_t limit) {
    storage[0] = nullptr;
    begin_ = storage + 1;
    set_size(0);
    limit_ = limit;
    end_ = begin_ + (limit < kFirstCapacity ? limit : kFirstCapacity);
  }

  uint32_t size() const { return static_cast<uint32_t>(top() - begin_); }
  uint32_t capacity() const { return static_cast<uint32_t>(end_ - begin_); }
  bool is_full() const { return top() == end_; }
  void** slots() { return begin_; }

  // A free slot, or null when there is none.
  MESH_ALWAYS_INLINE void* Pop() {
    void** top = this->top();
    void* slot = top[-1];
    if (MESH_LIKELY(slot != nullptr)) set_top(top - 1);
    return slot;
  }

  // Adds a freed slot. False when there is no room, or the slot is on top already: who frees an
  // object twice does so in a row, as a rule, and this one comparison costs next to nothing.
  MESH_ALWAYS_INLINE bool Push(void* slot) {
    void** top = this->top();
    if (MESH_UNLIKELY(top == end_ || top[-1] == slot)) return false;
    *top = slot;
    std::atomic_signal_fence(std::memory_order_seq_cst);  // [SV1]
    set_top(top + 1);
    return true;
  }

  // Whether the slot is the one that was freed last.
  bool IsOnTop(const void* slot) const { return top()[-1] == slot; }

  // After a refill has written slots [0, size), or a flush has taken what was behind them.
  void set_size(uint32_t size) { set_top(begin_ + size); }

  // Takes the oldest `count` slots out, which have been sent away.
  void DropOldest(uint32_t count) {
    uint32_t kept = size() - count;
    memmove(begin_, begin_ + count, kept * sizeof(void*));
    set_size(kept);
  }

  // A thread that refills or flushes often gets room for more, up to the limit.
  void Grow() {
    uint32_t doubled = 2 * capacity();
    end_ = begin_ + (doubled < limit_ ? doubled : limit_);
  }

 private:
  friend struct WindowLayout;  // tells other processes where the figures lie
  // Slots that a thread may hold of a class at first.
  static constexpr uint32_t kFirstCapacity = 8;

  // [SV2] for vectors without storage.
  static inline void* no_storage_[1] = {nullptr};

  // order: relaxed; written by the owner alone. Others read it for statistics.
  void** top() const { return top_.load(std::memory_order_relaxed); }
  void set_top(void** top) { top_.store(top, std::memory_order_relaxed); }

  std::atomic<void**> top_{no_storage_ + 1};
  void** end_ = no_storage_ + 1;
  void** begin_ = no_storage_ + 1;
  uint32_t limit_ = 0;
};
static_assert(sizeof(ShuffleVector) == 32);

}  // namespace mesh
