// See fork_handler.h.
#include "src/fork/fork_handler.h"

#include "src/arena/metadata.h"
#include "src/arena/page_map.h"
#include "src/base/check.h"
#include "src/base/units.h"
#include "src/meshing/backing.h"
#include "src/miniheap/mini_heap.h"
#include "src/os/process.h"
#include "src/sizeclass/size_class.h"

namespace mesh {
namespace {

// How long a fork tries to raise the barrier before its child has to die. The last tier refuses
// while any thread blocks SIGSEGV, as each does for a moment when it is made or forks.
constexpr uint64_t kBarrierPatienceNs = kNsPerSecond;
// On a machine that gives this thread no time, that may pass between two tries.
constexpr int kLeastTries = 32;

}  // namespace

void ForkHandler::LockHeaps() NO_THREAD_SAFETY_ANALYSIS {
  global_.compactor().lock().Lock();
  registry_.lock().Lock();
  global_.program_heaps().lock().Lock();
  for (SizeClassHeap& heap : global_.size_class_heaps()) heap.lock().Lock();
  global_.program_heaps().LockClasses();
  for (SizeClassHeap& heap : global_.size_class_heaps()) heap.pending().lock().Lock();
}

void ForkHandler::MakeViewsPrivate() NO_THREAD_SAFETY_ANALYSIS {
  Backing& backing = global_.backing();
  global_.arena().ForEachSpan([&](SpanId id) {
    MiniHeap* span = MiniHeap::Of(id);
    if (!span->info().meshable) return;
    // One that an earlier fork separated, when another one was refused, has copies of its own.
    if (span->memory() != SpanMemory::kBacked || !backing.NeedsSeparation(span->backing())) return;
    Separate(span);
  });
  CopyBatch();
}

void ForkHandler::SeparateMeshedSpans() {
  refused_ = 0;
  if (global_.backing().bytes_in_use() > 0) MakeViewsPrivate();
  // Even if nothing is meshed now: the child would hand out pages of the same file as its parent.
  if (refused_ == 0) global_.backing().Retire();
}

void ForkHandler::Separate(MiniHeap* span) {
  if (global_.backing().MakePrivate(span->address(), span->backing(), span->pages())) {
    span->SetMemory(SpanMemory::kSeparate, span->backing());
    return;
  }
  ranges_[batch_count_] = {span->address(), span->length()};
  windows_[batch_count_] = global_.backing().WindowOf(*span);
  batch_[batch_count_++] = span;
  if (batch_count_ == WriteBarrier::kMaxRanges) CopyBatch();
}

void ForkHandler::CopyBatch() NO_THREAD_SAFETY_ANALYSIS {
  uint32_t count = batch_count_;
  batch_count_ = 0;
  WriteBarrier& barrier = global_.barrier();
  if (count == 0) return;
  uint64_t give_up_ns = os::MonotonicNs() + kBarrierPatienceNs;
  for (int tries = 1; !barrier.Begin({ranges_, count}, {windows_, count}); tries++) {
    if (tries >= kLeastTries && os::MonotonicNs() >= give_up_ns) {
      refused_ += count;
      return;
    }
    os::YieldThread();
  }
  for (uint32_t i = 0; i < count; i++) {
    MiniHeap* span = batch_[i];
    if (!barrier.is_excluded(i) &&
        global_.backing().CopyBack(span->address(), span->backing(), span->pages())) {
      barrier.MarkRemapped(i);
    } else {
      batch_[i] = nullptr;
      refused_++;
    }
  }
  barrier.Finish();
  for (uint32_t i = 0; i < count; i++) {
    // An empty one went when the rest of its group was split off.
    if (batch_[i] == nullptr || PageMap::Find(ranges_[i].address).is_empty()) continue;
    global_.HeapOf(*batch_[i]).SplitOffLocked(batch_[i]);
  }
}

bool ForkHandler::TrySeparate() NO_THREAD_SAFETY_ANALYSIS {
  LockHeaps();
  SeparateMeshedSpans();
  bool separated = refused_ == 0;
  if (separated) global_.compactor().HoldLocked();
  UnlockHeaps();
  return separated;
}

bool ForkHandler::Prepare() NO_THREAD_SAFETY_ANALYSIS {
  LockHeaps();
  SeparateMeshedSpans();
  global_.arena().LockAll();
  global_.backing().lock().Lock();
  LockMetadata();
  return refused_ == 0;
}

void ForkHandler::UnlockArena() NO_THREAD_SAFETY_ANALYSIS {
  UnlockMetadata();
  global_.backing().lock().Unlock();
  global_.arena().UnlockAll();
}

void ForkHandler::UnlockHeaps() NO_THREAD_SAFETY_ANALYSIS {
  for (SizeClassHeap& heap : global_.size_class_heaps()) heap.pending().lock().Unlock();
  global_.program_heaps().UnlockClasses();
  for (SizeClassHeap& heap : global_.size_class_heaps()) heap.lock().Unlock();
  global_.program_heaps().lock().Unlock();
  registry_.lock().Unlock();
  global_.compactor().lock().Unlock();
}

void ForkHandler::Parent() {
  UnlockArena();
  UnlockHeaps();
}

void ForkHandler::Child(ThreadLocalHeap* mine, SyscallBuffers::Record* record,
                        uint64_t seed) NO_THREAD_SAFETY_ANALYSIS {
  if (refused_ > 0) Fatal("fork: the kernel refused to separate the child's memory");
  // Nobody sleeps on the locks here, but their words may say so: the wake-ups are for nobody.
  global_.compactor().AfterForkInChildLocked();
  global_.program_heaps().ReseedLocked(seed);
  UnlockArena();
  UnlockHeaps();
  global_.barrier().AfterForkInChild(record);
  if (mine != nullptr) mine->Reseed(seed);
  registry_.ReclaimAfterFork(mine);
}

}  // namespace mesh
