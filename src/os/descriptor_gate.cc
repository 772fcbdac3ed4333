// See descriptor_gate.h.
#include "src/os/descriptor_gate.h"

#include "src/base/futex.h"
#include "src/os/process.h"

namespace mesh::os {

void DescriptorGate::Enter() {
  uint32_t state = state_.load(std::memory_order_relaxed);
  while (true) {
    if (static_cast<int32_t>(state) < 0) {
      FutexWait(state_, state);
      state = state_.load(std::memory_order_relaxed);
      continue;
    }
    // order: acquire; pairs with the release in EndOpening(): the opener's calls are done.
    if (state_.compare_exchange_weak(state, state + 1, std::memory_order_acquire,
                                     std::memory_order_relaxed)) {
      return;
    }
  }
}

void DescriptorGate::Leave() {
  // order: release; pairs with the acquire in TryBeginOpening(): the closing call is done.
  state_.fetch_sub(1, std::memory_order_release);
}

bool DescriptorGate::TryBeginOpening() {
  uint32_t state = state_.load(std::memory_order_relaxed);
  while (static_cast<int32_t>(state) <= 0) {
    // order: acquire; see Leave().
    if (state_.compare_exchange_weak(state, state - 1, std::memory_order_acquire,
                                     std::memory_order_relaxed)) {
      return true;
    }
  }
  return false;
}

void DescriptorGate::EndOpening() {
  // order: release; see Enter().
  if (state_.fetch_add(1, std::memory_order_release) + 1 == 0) FutexWake(state_, INT32_MAX);
}

void DescriptorGate::StartIn(int process) {
  // order: relaxed for both; the process has one thread that knows of the gate.
  state_.store(0, std::memory_order_relaxed);
  process_.store(process, std::memory_order_relaxed);
}

bool DescriptorGate::IsOwn() {
  const int process = process_.load(std::memory_order_relaxed);
  return process == 0 || process == ProcessId();
}

Status OpeningScope::Begin() {
  // A close takes a microsecond, unless it waits for a peer or a server.
  constexpr int kTries = 64;
  if (!DescriptorGate::IsOwn()) return {0};  // [DG2]
  for (int i = 0; i < kTries && !is_held_; i++) {
    is_held_ = DescriptorGate::TryBeginOpening();
    if (!is_held_) YieldThread();
  }
  return {is_held_ ? 0 : EBUSY};
}

}  // namespace mesh::os
