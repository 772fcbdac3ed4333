// PendingFrees: objects of a size class that were freed while a batch of compaction had the class.
//
//   free -> the thread's vector, full -> the class is locked for long -> here -> its next holder
//
// So a thread that frees does not wait for a batch; nor for one whose thread has lost its
// processor. Until they are freed these objects are in use, as those in a thread's vector are.
// Room: global; a part of SizeClassHeap. Locks: kPendingFrees, its own, to copy pointers.
// Thread rule: any thread adds; who holds the class's lock takes out.
#pragma once

#include <atomic>
#include <cstdint>
#include <cstring>

#include "src/base/mutex.h"

namespace mesh {

class PendingFrees {
 public:
  // Objects that it has room for: what two busy threads free while a batch waits for a processor.
  // (With room for 1,024, in two busy threads beside compaction on two processors at load 30 and
  // more, 6 of 68,742 that met a batch waited for longer than a millisecond; for 8,192, none.)
  static constexpr uint32_t kMost = 4096;

  constexpr PendingFrees() = default;
  PendingFrees(const PendingFrees&) = delete;
  PendingFrees& operator=(const PendingFrees&) = delete;

  // `storage` has kMost words, and outlives this; it is not touched before it is needed. Without,
  // there is room for none. Before first use.
  void Init(void** storage) { objects_ = storage; }

  // `forget` is called before a fork can come in between: it must not find the objects with the
  // caller and in here. Returns: false, and nothing has changed, when there is no room for all.
  template <typename Forget>
  bool Add(void* const* objects, uint32_t count, Forget forget) {
    if (objects_ == nullptr) return false;
    MutexLock lock(lock_);
    const uint32_t held = size();
    if (count > kMost - held) return false;
    memcpy(objects_ + held, objects, count * sizeof(void*));
    forget();
    set_size(held + count);
    return true;
  }

  // Writes up to `room` of them to `out`. Returns: how many.
  uint32_t Take(void** out, uint32_t room) {
    MutexLock lock(lock_);
    const uint32_t held = size();
    const uint32_t count = held < room ? held : room;
    memcpy(out, objects_ + held - count, count * sizeof(void*));
    set_size(held - count);
    return count;
  }

  // Without the lock: what others have added since may be missing.
  uint32_t size() const {
    // order: relaxed; changes under the lock, and otherwise a hint.
    return size_.load(std::memory_order_relaxed);
  }

  Mutex& lock() { return lock_; }

 private:
  void set_size(uint32_t size) {
    // order: relaxed; see size().
    size_.store(size, std::memory_order_relaxed);
  }

  Mutex lock_{LockRank::kPendingFrees};
  std::atomic<uint32_t> size_{0};
  void** objects_ = nullptr;
};

}  // namespace mesh
