// See run_cache.h.
#include "src/arena/run_cache.h"

#include <pthread.h>

#include <algorithm>

namespace mesh {

RunCache::Shard& RunCache::MyShard() {
  // Threads' control blocks lie stacks apart: the upper bits of the product depend on all of it.
  static_assert(kShards == 8);
  return shards_[static_cast<uint64_t>(pthread_self()) * 0x9E3779B97F4A7C15u >> 61];
}

RunCache::Run RunCache::RemoveLocked(Shard& shard, uint32_t index) {
  // order: relaxed; the lock orders them.
  uint32_t count = shard.count.load(std::memory_order_relaxed);
  PageCount pages = shard.pages.load(std::memory_order_relaxed);
  Run run = shard.runs[index];
  std::copy(shard.runs + index + 1, shard.runs + count, shard.runs + index);
  Note(shard, count - 1, pages - run.pages);
  return run;
}

RunCache::Run RunCache::Take(PageCount pages) {
  Shard& shard = MyShard();
  // order: relaxed; a run that has just come is found the next time.
  if (shard.pages.load(std::memory_order_relaxed) < pages) return {};
  MutexLock lock(shard.lock);
  // The newest one is the likeliest to be in the processor's caches.
  for (uint32_t i = shard.count.load(std::memory_order_relaxed); i > 0; i--) {
    PageCount found = shard.runs[i - 1].pages;
    if (found >= pages && found - pages <= pages / 8) return RemoveLocked(shard, i - 1);
  }
  return {};
}

void RunCache::Give(Run run, Leaving* leaving) {
  PageMap::SetEnds(run.id, run.pages, kReservedClass);
  Shard& shard = MyShard();
  MutexLock lock(shard.lock);
  // order: relaxed; the lock orders them.
  uint32_t count = shard.count.load(std::memory_order_relaxed);
  PageCount pages = shard.pages.load(std::memory_order_relaxed) + run.pages;
  if (count == kRuns || pages > kPagesOfShard) {
    // Half of them at once, so that the arena's lock is taken for several.
    uint32_t kept = count;
    for (; kept > kRuns / 2 || (kept > 0 && pages > kPagesOfShard / 2); kept--) {
      pages -= shard.runs[count - kept].pages;
    }
    leaving->count = count - kept;
    std::copy(shard.runs, shard.runs + leaving->count, leaving->runs);
    std::copy(shard.runs + leaving->count, shard.runs + count, shard.runs);
    count = kept;
  }
  shard.runs[count] = run;
  Note(shard, count + 1, pages);
}

bool RunCache::TakeBack(Leaving* leaving) {
  for (Shard& shard : shards_) {
    // order: relaxed; what comes while this looks is left for the next time.
    if (shard.count.load(std::memory_order_relaxed) == 0) continue;
    MutexLock lock(shard.lock);
    leaving->count = shard.count.load(std::memory_order_relaxed);
    std::copy(shard.runs, shard.runs + leaving->count, leaving->runs);
    Note(shard, 0, 0);
    return true;
  }
  return false;
}

void RunCache::LockAll() NO_THREAD_SAFETY_ANALYSIS {
  for (Shard& shard : shards_) shard.lock.Lock();
}

void RunCache::UnlockAll() NO_THREAD_SAFETY_ANALYSIS {
  for (Shard& shard : shards_) shard.lock.Unlock();
}

}  // namespace mesh
