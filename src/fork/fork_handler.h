// ForkHandler: what happens to the heap around fork(2), in lock order.
//
// Private memory is the kernel's business (copy on write). Meshed spans are shared memory, which a
// child would go on sharing: before the fork each of them becomes a private view of the same pages
// (docs/design.md, "fork"). No object is copied as long as the memory file can be reached; else all
// that is meshed is copied back, under the write barrier, as other threads go on storing to it.
// Room: fork; above local and global. Locks: Prepare() takes all, Parent() and Child() let them go;
// TrySeparate() takes and lets go those down to the size classes'.
//
// [F1] Between Prepare() and Parent() or Child() no other thread is inside the heap.
// [F2] After Prepare() no page that the child can see is written or punched by the parent.
#pragma once

#include "src/global/global_heap.h"
#include "src/local/thread_registry.h"
#include "src/meshing/barrier.h"
#include "src/miniheap/mini_heap.h"

namespace mesh {

class ForkHandler {
 public:
  ForkHandler(GlobalHeap& global, ThreadRegistry& registry)
      : global_(global), registry_(registry) {}

  // For who can still call the fork off: separates what is meshed, as Prepare() does later, without
  // keeping the locks. Returns false when the kernel refuses: there must be no fork. After true
  // nothing is meshed until Resume(), or in the child.
  bool TrySeparate();
  void Resume() { global_.compactor().Resume(); }

  // Returns false when the kernel refuses to separate the memory: Child() would end the program.
  // All locks are held in either case.
  bool Prepare();
  void Parent();
  // `mine` and `record`: heap and published buffers of the forking thread, null if it has none.
  // `seed`: so that parent and child do not place alike.
  void Child(ThreadLocalHeap* mine, SyscallBuffers::Record* record, uint64_t seed);

 private:
  void LockHeaps();
  void UnlockHeaps();
  void UnlockArena();
  void SeparateMeshedSpans();
  void MakeViewsPrivate();
  void Separate(MiniHeap* span);
  void CopyBatch();

  GlobalHeap& global_;
  ThreadRegistry& registry_;
  // Spans to copy back, as many as the barrier holds at once.
  MiniHeap* batch_[WriteBarrier::kMaxRanges];
  Range ranges_[WriteBarrier::kMaxRanges];
  uintptr_t windows_[WriteBarrier::kMaxRanges];
  uint32_t batch_count_ = 0;
  // Spans that the kernel refused to make private: a child would write into its parent's memory.
  uint32_t refused_ = 0;
};

}  // namespace mesh
