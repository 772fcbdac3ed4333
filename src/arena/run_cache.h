// RunCache: runs of pages that medium objects had a moment ago, for the next ones of that length.
//
// Objects of 32 KiB to 1 MiB come and go too often for each of them to be cut from a free run and
// to be merged with its neighbours again under the arena's lock. A thread leaves their runs in one
// of a few shards and takes them from there; which one follows from the thread, so that two threads
// seldom meet. The memory of a run stays, and nobody else can use it: a shard holds little, and
// the arena takes back all of them before it brings in memory that is not there.
// Room: arena. Locks: one a shard, kRunCache; nothing is taken under it. Thread rule: any thread.
//
// [RC1] A run that lies here has entries of kReservedClass at both ends: it is no object, and no
//       free run's neighbour.
#pragma once

#include <atomic>
#include <cstdint>

#include "src/arena/page_map.h"
#include "src/base/mutex.h"
#include "src/base/units.h"
#include "src/sizeclass/size_class.h"

namespace mesh {

class RunCache {
 public:
  // Runs that a shard holds at most.
  static constexpr uint32_t kRuns = 16;
  static constexpr uint32_t kShards = 8;

  struct Run {
    SpanId id = kNoSpan;
    PageCount pages = 0;
  };
  // Runs that have left a shard, for the arena. Their entries are as they were: [RC1].
  struct Leaving {
    Run runs[kRuns];
    uint32_t count = 0;
  };

  constexpr RunCache() = default;

  // Whether runs of that length are kept here.
  static constexpr bool Takes(size_t pages) { return pages > kTooShort && pages <= kLongest; }

  // A run of `pages` pages, or of up to an eighth more; its memory may hold anything. Its id is
  // kNoSpan when this thread's shard has none.
  Run Take(PageCount pages);
  // Keeps the run, whose entries become [RC1]'s. The oldest ones leave if they have to make room.
  void Give(Run run, Leaving* leaving);
  // Empties the next shard that is not empty. False: there is none.
  bool TakeBack(Leaving* leaving);

  // Pages, and runs, that lie here.
  PageCount pages() const {
    PageCount sum = 0;
    // order: relaxed; figures, publish nothing.
    for (const Shard& shard : shards_) sum += shard.pages.load(std::memory_order_relaxed);
    return sum;
  }
  uint32_t runs() const {
    uint32_t sum = 0;
    // order: relaxed; as above.
    for (const Shard& shard : shards_) sum += shard.count.load(std::memory_order_relaxed);
    return sum;
  }

  // For fork(2): nobody is in the middle of a change.
  void LockAll();
  void UnlockAll();

 private:
  friend struct WindowLayout;  // tells other processes where the figures lie
  static constexpr PageCount kTooShort = kMaxSmallSize >> kPageShift;
  static constexpr PageCount kLongest = 256;
  static constexpr PageCount kPagesOfShard = 512;

  struct alignas(64) Shard {
    Mutex lock{LockRank::kRunCache};
    std::atomic<uint32_t> count{0};  // written under the lock, as is the next
    std::atomic<PageCount> pages{0};
    Run runs[kRuns] GUARDED_BY(lock) = {};  // oldest first
  };

  // What lies in a shard has come to be so much.
  static void Note(Shard& shard, uint32_t count, PageCount pages) REQUIRES(shard.lock) {
    // order: relaxed; see pages().
    shard.count.store(count, std::memory_order_relaxed);
    shard.pages.store(pages, std::memory_order_relaxed);
  }
  Shard& MyShard();
  static Run RemoveLocked(Shard& shard, uint32_t index) REQUIRES(shard.lock);

  Shard shards_[kShards];
};

}  // namespace mesh
