// WaitMeter: how long threads wait for a lock whose holder wants to know.
//
// A holder that keeps a lock for long hangs its meter on the lock (Mutex::set_meter). Threads that
// find the lock taken then count themselves here, and how long it took them, or that they went away
// at once (Mutex::LockUnlessLong()); others pay nothing.
//
// Room: base; Mutex calls it, who hangs it up reads it. Thread rule: any thread; the meter outlives
// the lock.
#pragma once

#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>

namespace mesh {

class WaitMeter {
 public:
  // Bucket i counts waits of [2^(i-1), 2^i) microseconds, the last one all that are longer. The
  // first has those too who went away.
  static constexpr size_t kBuckets = 24;

  using Clock = uint64_t();  // monotonic [ns]

  explicit constexpr WaitMeter(Clock* now_ns) : now_ns_(now_ns) {}

  // A thread begins to wait. Returns: when, for End().
  uint64_t Begin() {
    // order: relaxed; a hint to the holder, who looks again.
    waiting_.fetch_add(1, std::memory_order_relaxed);
    return now_ns_();
  }
  void End(uint64_t began_ns) {
    uint64_t ns = now_ns_() - began_ns;
    size_t bucket = static_cast<size_t>(std::bit_width(ns / 1000));
    // order: relaxed; counters for statistics, publish nothing.
    counts_[bucket < kBuckets ? bucket : kBuckets - 1].fetch_add(1, std::memory_order_relaxed);
    uint64_t longest = longest_ns_.load(std::memory_order_relaxed);
    while (ns > longest &&
           !longest_ns_.compare_exchange_weak(longest, ns, std::memory_order_relaxed)) {
    }
    waiting_.fetch_sub(1, std::memory_order_relaxed);
  }

  // A thread has found the lock taken, and gone away.
  void NoteNone() {
    // order: relaxed; see End().
    counts_[0].fetch_add(1, std::memory_order_relaxed);
  }

  // Threads that wait now.
  uint32_t waiting() const {
    // order: relaxed; see Begin().
    return waiting_.load(std::memory_order_relaxed);
  }
  uint64_t longest_ns() const {
    // order: relaxed; as all below, a counter for statistics.
    return longest_ns_.load(std::memory_order_relaxed);
  }
  uint64_t count(size_t bucket) const { return counts_[bucket].load(std::memory_order_relaxed); }

  // In a fork's child: who waited is not here.
  void ForgetWaiting() { waiting_.store(0, std::memory_order_relaxed); }

 private:
  friend struct WindowLayout;  // tells other processes where the figures lie
  Clock* const now_ns_;
  std::atomic<uint32_t> waiting_{0};
  std::atomic<uint64_t> longest_ns_{0};
  std::atomic<uint64_t> counts_[kBuckets] = {};
};

}  // namespace mesh
