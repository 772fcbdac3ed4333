// A small arena for tests of the barrier: private spans, a shared window, and meshing by hand.
//
// Spans are one page of 64 slots. Of each pair the first span's even slots and the second span's
// odd slots are live. Mesh() gives both one physical page in the window; Unmesh() gives each a
// private page again. Threads may store into live slots at any time. Thread rule: Mesh and Unmesh
// by one thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "src/meshing/barrier.h"

namespace mesh {

class BarrierHarness {
 public:
  static constexpr size_t kSlots = 64;
  static constexpr size_t kSlotSize = 64;  // bytes

  explicit BarrierHarness(size_t pairs, bool file_window = true);
  ~BarrierHarness();

  WriteBarrier& barrier() { return barrier_; }
  SyscallBuffers& buffers() { return barrier_.buffers(); }
  size_t pairs() const { return pairs_; }

  Range span(size_t pair, int member) const;
  Range arena() const;
  bool is_meshed(size_t pair) const { return meshed_[pair]; }

  // A live slot of the pair: member 0 has the even ones. index < kSlots / 2.
  volatile uint64_t* live_slot(size_t pair, int member, size_t index) const;

  // One pass each over the pairs [first, first + count). Return false when Begin() refused.
  bool Mesh(size_t first, size_t count);
  bool Unmesh(size_t first, size_t count);

  // Begin() on both members of each pair.
  bool Begin(size_t first, size_t count);
  void Finish() { barrier_.Finish(); }

 private:
  void MeshPair(size_t pair, size_t index);
  void UnmeshPair(size_t pair, size_t index);

  size_t pairs_;
  uintptr_t arena_;
  uintptr_t window_;
  std::vector<bool> meshed_;
  WriteBarrier barrier_;
};

}  // namespace mesh
