// What compaction knows of a class's spans from its survey on, and what it holds for a batch.
//
// Room: global. Thread rule: who runs the pass; what Gathered points to is under the class's lock.
#pragma once

#include <cstddef>
#include <cstdint>

#include "src/base/bitmap.h"
#include "src/miniheap/mini_heap.h"

namespace mesh {

// A span that may be meshed, as it was when it was looked at: a leader, for all of its group, or
// any span for itself.
struct Candidate {
  SpanId id;
  BackingPage backing;  // kNoBackingPage: private memory
  uint16_t in_use;
  uint8_t units;
  Bitmap bits;
};

// Leaders that are in no list while a batch is put together and runs.
class Gathered {
 public:
  size_t room() const { return kMost - count_; }

 private:
  friend class SizeClassHeap;
  static constexpr size_t kMost = 512;
  MiniHeap* leaders_[kMost];
  size_t count_ = 0;
};

// A span that is to leave its group for another one.
struct GatheredSpan {
  MiniHeap* span = nullptr;    // null: it has gone, or cannot
  MiniHeap* target = nullptr;  // leads the group to join; null: pages of its own
  uint32_t withdrawn = 0;      // leaders that were gathered for it
};

}  // namespace mesh
