// ShuffleVector: a thread's free slots of one size class.
//
//   begin_[-1]   begin_ ... top_    ...  end_   ... begin_ + limit
//   null         free slots         room        room to come, by Grow()
//                                               of a class that drains: slots to return
//
// The first few words lie close to those of the other classes, so that a thread that uses little of
// many sizes touches few pages; what grows moves to a place of its own.
//
// Random placement is what makes sparse spans meshable, whatever the order in which the program
// allocates and frees (PLDI'19 s.4.2). The randomness comes from the refill, which writes the free
// slots of a span here from a random one on, or shuffled (SlotOrder). A freed slot goes on top and
// is the next to be handed out, while its lines are in the cache.
// (Published Mesh swaps each freed slot with a random other. docs/design.md has what that buys.)
// While its class drains (DrainPolicy), a vector takes no frees: they wait behind end_, to be
// returned.
// Room: local. Thread rule: the owning thread alone, and who empties it while the owner rests; any
// thread may ask for the size, and a fork's child reads what those of other threads hold.
//
// [SV1] [slots(), top_) are free slots, each once, at every instruction: a fork may happen between
//       any two, and the child gives back what it finds. (A slot in flight is lost there, never
//       handed out twice. So are those that move to another place at that instant; while they move
//       within the vector they may be there twice, and a fork's child gives back either.)
// [SV2] The word before begin_ is null: an empty vector is known by the slot that it hands out.
//       So are the words before the first of the slots, where slots were that others have taken.
// [SV3] Of a vector that drains, the reciprocal is 0, so that nothing is a slot's start to a fast
//       path; end_ is half-way to the limit, and behind it are the slots to return, each once.
// [SV4] While the owner rests, it may be in a signal handler that came in the middle of Pop() or
//       PushIf(). So who empties the vector then leaves top_ and the slot that comes next as they
//       are.
#pragma once

#include <atomic>
#include <cstdint>
#include <cstring>
#include <span>

#include "src/base/check.h"

namespace mesh {

class ShuffleVector {
 public:
  // Refills and flushes before it grows: most threads of a program with many need a few objects of
  // a size and no more.
  static constexpr uint8_t kUsesToGrow = 3;

  // Nothing in it and room for nothing: every fast path ends in the slow one.
  constexpr ShuffleVector() = default;

  // Words of storage that a vector of `limit` slots needs.
  static constexpr uint32_t StorageFor(uint32_t limit) { return limit + 1; }

  // Slots that the first place has room for: a cache line of them.
  static constexpr uint32_t kMostFirstRoom = 8;
  static constexpr uint32_t FirstRoom(uint32_t limit) {
    return limit < kMostFirstRoom ? limit : kMostFirstRoom;
  }

  // `storage` has StorageFor(FirstRoom(limit)) words, and outlives this vector. It holds `first`
  // slots at first. `reciprocal` is kept for whoever adds slots.
  void Init(void** storage, uint32_t first, uint32_t limit, uint32_t reciprocal = 0) {
    storage[0] = nullptr;
    set_begin(storage + 1);
    set_gone(0);
    set_size(0);
    end_ = begin() + first;
    limit_ = static_cast<uint8_t>(limit);
    uses_ = 0;
    set_returned(0);
    reciprocal_ = reciprocal;
  }

  // Those that it hands out.
  uint32_t size() const {
    auto size = static_cast<size_t>(top() - slots());
    return size <= limit_ ? static_cast<uint32_t>(size) : 0;  // On the move: [SV1].
  }
  uint32_t capacity() const { return static_cast<uint32_t>(end_ - begin()); }
  bool is_full() const { return top() == end_; }
  void** slots() const { return begin() + gone(); }
  MESH_ALWAYS_INLINE uint32_t reciprocal() const { return reciprocal_; }

  // A free slot, or null when there is none.
  MESH_ALWAYS_INLINE void* Pop() {
    void** top = this->top();
    void* slot = top[-1];
    if (MESH_LIKELY(slot != nullptr)) set_top(top - 1);
    return slot;
  }

  // Adds a freed slot. False when there is no room, or when accept() is false; it is not asked
  // where there is no room.
  template <typename Accept>
  MESH_ALWAYS_INLINE bool PushIf(void* slot, Accept accept) {
    void** top = this->top();
    if (MESH_UNLIKELY(top == end_) || MESH_UNLIKELY(!accept())) return false;
    *top = slot;
    std::atomic_signal_fence(std::memory_order_seq_cst);  // [SV1]
    set_top(top + 1);
    return true;
  }
  // The same; there is room.
  void Push(void* slot) {
    const bool has_room = PushIf(slot, [] { return true; });
    MESH_CHECK(has_room);
  }

  // Whether the slot is in it.
  bool Contains(const void* slot) const {
    for (void* kept : std::span(slots(), size())) {
      if (kept == slot) return true;
    }
    for (void* kept : to_return()) {
      if (kept == slot) return true;
    }
    return false;
  }

  // After a refill has written slots [0, size), or a flush has taken what was behind them.
  void set_size(uint32_t size) { set_top(slots() + size); }

  // Takes the oldest `count` slots out, which have been sent away.
  void DropOldest(uint32_t count) {
    uint32_t kept = size() - count;
    memmove(slots(), slots() + count, kept * sizeof(void*));
    set_size(kept);
  }

  // How many slots may be taken while the owner is inside a call: all but the next one. [SV4]
  uint32_t below_top() const { return size() > 0 ? size() - 1 : 0; }
  // They have been taken.
  void DropBelowTop() {
    const uint32_t count = below_top();
    memset(slots(), 0, count * sizeof(void*));
    set_gone(gone() + count);
  }
  // By the owner, before it adds many: has all room for slots again, from begin_ on.
  void CloseGap() {
    if (gone() == 0) return;
    const uint32_t count = size();
    memmove(begin(), slots(), count * sizeof(void*));
    set_top(begin() + count);
    std::atomic_signal_fence(std::memory_order_seq_cst);  // [SV1]
    set_gone(0);
  }

  // At each refill and flush: who does that often gets room for more, up to the limit. `grown` has
  // StorageFor(limit) words, and outlives this vector; it is not used where FirstRoom() is enough.
  void Grow(void** grown) {
    if (++uses_ < kUsesToGrow) return;
    uses_ = 0;
    uint32_t doubled = 2 * capacity();
    uint32_t wanted = doubled < limit_ ? doubled : limit_;
    if (wanted > FirstRoom(limit_) && begin() != grown + 1) MoveTo(grown + 1);
    end_ = begin() + wanted;
  }

  // ---- Of a class that drains: see DrainPolicy ----

  // Vectors of fewer slots than this do not.
  static constexpr uint32_t kLeastToDrain = 8;
  bool may_drain() const { return limit_ >= kLeastToDrain && capacity() == limit_; }
  bool drains() const { return reciprocal_ == 0; }
  // From now on frees wait to be returned; [SV3]. It may drain, and is at most half full.
  void StartToDrain() {
    MESH_DCHECK(may_drain() && gone() == 0 && size() <= limit_ / 2u);
    end_ = half();
    reciprocal_ = 0;
    uses_ = static_cast<uint8_t>(size());
  }
  // Nothing waits to be returned.
  void StopDraining(uint32_t reciprocal) {
    MESH_DCHECK(drains() && returned() == 0);
    end_ = begin() + limit_;
    reciprocal_ = reciprocal;
    uses_ = 0;
  }
  // Adds a freed slot to those that wait. Returns: whether they are to be returned now.
  bool AddToReturn(void* slot) {
    const uint32_t count = returned();
    half()[count] = slot;
    std::atomic_signal_fence(std::memory_order_seq_cst);  // [SV1]
    set_returned(count + 1);
    return count + 1 == limit_ - limit_ / 2u;
  }
  std::span<void*> to_return() const { return {half(), returned()}; }
  uint32_t returned() const { return returned_.load(std::memory_order_relaxed); }
  // They have been returned.
  void DropReturned() { set_returned(0); }
  // Whether a quarter as many slots have been handed out as wait to be returned, or all there were,
  // since this was last asked.
  bool WasReused() {
    const bool reused = size() + returned() / 4 <= uses_;
    uses_ = static_cast<uint8_t>(size());
    return reused;
  }
  void NoteRefilled() { uses_ = UINT8_MAX; }

 private:
  friend struct WindowLayout;  // tells other processes where the figures lie

  // [SV2] for vectors without storage.
  static inline void* no_storage_[1] = {nullptr};

  void MoveTo(void** to) {
    MESH_DCHECK(gone() == 0);
    uint32_t count = size();
    to[-1] = nullptr;
    memcpy(to, begin(), count * sizeof(void*));
    set_begin(to);
    std::atomic_signal_fence(std::memory_order_seq_cst);  // [SV1]
    set_size(count);
  }

  // order: relaxed; written by the owner alone. Others read it for statistics.
  void** top() const { return top_.load(std::memory_order_relaxed); }
  void set_top(void** top) { top_.store(top, std::memory_order_relaxed); }
  void** begin() const { return begin_.load(std::memory_order_relaxed); }
  // Where slots to return wait. Not end_, which another thread may not read.
  void** half() const { return begin() + limit_ / 2; }
  void set_begin(void** begin) { begin_.store(begin, std::memory_order_relaxed); }
  uint32_t gone() const { return gone_.load(std::memory_order_relaxed); }
  void set_gone(uint32_t count) {
    gone_.store(static_cast<uint8_t>(count), std::memory_order_relaxed);
  }
  void set_returned(uint32_t count) {
    returned_.store(static_cast<uint8_t>(count), std::memory_order_relaxed);
  }

  std::atomic<void**> top_{no_storage_ + 1};
  void** end_ = no_storage_ + 1;
  std::atomic<void**> begin_{no_storage_ + 1};
  uint8_t limit_ = 0;
  // Refills and flushes since it could last grow; of a vector that drains, slots at the last look.
  uint8_t uses_ = 0;
  std::atomic<uint8_t> returned_{0};  // slots that wait behind end_
  std::atomic<uint8_t> gone_{0};      // words at begin_ whose slots others have taken
  uint32_t reciprocal_ = 0;
};
static_assert(sizeof(ShuffleVector) == 32);

}  // namespace mesh
