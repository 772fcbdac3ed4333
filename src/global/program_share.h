// ProgramShare: what a size class of a program heap has beside its spans; ProgramClassList: all
// such classes.
//
// Room: global; parts of SizeClassHeap.
#pragma once

#include <atomic>
#include <cstdint>

#include "src/arena/page_map.h"
#include "src/base/random.h"

namespace mesh {

class SizeClassHeap;

// The order in which the free slots of a span are handed out.
//
// Spans mesh when the objects that are left in them lie at different slots. Objects that are freed
// at random leave that to chance in any order. A program that keeps every eighth object, or the
// first of many, would keep the same slots in all spans: a random start for each refill tells them
// apart, and neighbours in time stay neighbours in memory, as the caches' prefetchers like it.
enum class SlotOrder : uint8_t {
  kRandomStart,  // ascending from a random slot, and round
  kShuffled,     // each at random: published Mesh (PLDI'19 s.4.2)
  kShuffledRun,  // those of a refill as kRandomStart, but at random: hardened heaps
  kAscending,
};

// No thread draws slots for a program heap, so the class has what a thread has elsewhere. All of it
// is under the class's lock, but for what is written once.
struct ProgramShare {
  static constexpr uint32_t kMostReady = 32;

  uint16_t heap = 0;            // names it; never 0
  bool takes_interior = false;  // any address inside an object stands for it
  // Lets nothing be allocated any more, if it is not `generation` that the caller knows.
  const std::atomic<uint32_t>* generation = nullptr;
  Random random;
  SlotOrder order = SlotOrder::kRandomStart;
  SpanId attached = kNoSpan;  // drawn from
  uint32_t ready = 0;
  void* slots[kMostReady];  // free, with their bits set
  // Where walks over the lists stand: for surveys, and for folding. kNoSpan: at the end of `bin`.
  struct Walk {
    SpanId next = kNoSpan;
    uint32_t bin = 0;
  };
  Walk walks[2];
};

// The classes of all program heaps, of those too that wait for another program heap: none ever
// goes, so that whoever holds a pointer to one may take its lock. Thread rule: any thread reads;
// Push() by who holds kProgramHeaps.
class ProgramClassList {
 public:
  constexpr ProgramClassList() = default;

  SizeClassHeap* front() const {
    // order: acquire; pairs with the release in Push(). The class is visible.
    return front_.load(std::memory_order_acquire);
  }
  void Push(SizeClassHeap* heap);
  size_t size() const {
    // order: relaxed; a bound for one walk.
    return size_.load(std::memory_order_relaxed);
  }

  template <typename Visit>
  void ForEach(Visit visit) const;

 private:
  friend struct WindowLayout;  // tells other processes where the figures lie
  std::atomic<SizeClassHeap*> front_{nullptr};
  std::atomic<size_t> size_{0};
};

}  // namespace mesh
