// Counters as a policy of CountingLayer: PlainCounter for a heap that one thread uses at a time (or
// below a LockedLayer), AtomicCounter for one that many use at once.
#pragma once

#include <atomic>
#include <cstdint>

namespace heaplayers {

class PlainCounter {
 public:
  constexpr PlainCounter() = default;

  // Adds `delta`, which may be negative. Returns: the new value.
  std::int64_t Add(std::int64_t delta) { return value_ += delta; }
  void RaiseTo(std::int64_t value) { value_ = value_ < value ? value : value_; }
  std::int64_t value() const { return value_; }

 private:
  std::int64_t value_ = 0;
};

class AtomicCounter {
 public:
  constexpr AtomicCounter() = default;

  std::int64_t Add(std::int64_t delta) {
    // order: relaxed, as all below; counters for statistics, they publish nothing.
    return value_.fetch_add(delta, std::memory_order_relaxed) + delta;
  }
  void RaiseTo(std::int64_t value) {
    std::int64_t seen = value_.load(std::memory_order_relaxed);
    while (seen < value && !value_.compare_exchange_weak(seen, value, std::memory_order_relaxed)) {
    }
  }
  std::int64_t value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<std::int64_t> value_{0};
};

}  // namespace heaplayers
