// See thread_registry.h.
#include "src/local/thread_registry.h"

#include "src/arena/metadata.h"

namespace mesh {

ThreadLocalHeap* ThreadRegistry::Acquire(GlobalHeap* global, uint64_t seed, SlotOrder order) {
  MutexLock lock(lock_);
  ThreadLocalHeap* heap = idle_.PopFront();
  if (heap == nullptr) {
    if (next_id_ > UINT16_MAX) return nullptr;
    void* memory = AllocateMetadata(ThreadLocalHeap::Footprint());
    if (memory == nullptr) return nullptr;
    heap = ThreadLocalHeap::Create(memory, static_cast<uint16_t>(next_id_++));
  }
  heap->Start(global, seed, order);
  active_.PushFront(heap);
  return heap;
}

void ThreadRegistry::Retire(ThreadLocalHeap* heap) {
  heap->Flush(ThreadLocalHeap::Flushing::kAll);
  MutexLock lock(lock_);
  active_.Remove(heap);
  idle_.PushFront(heap);
}

void ThreadRegistry::ReclaimAfterFork(ThreadLocalHeap* mine) {
  MutexLock lock(lock_);
  IntrusiveList<ThreadLocalHeap> kept;
  while (ThreadLocalHeap* heap = active_.PopFront()) {
    if (heap == mine) {
      kept.PushFront(heap);
    } else {
      heap->Flush(ThreadLocalHeap::Flushing::kLeniently);
      idle_.PushFront(heap);
    }
  }
  active_ = kept;
}

void ThreadRegistry::LookAtRests(bool at_once) {
  MutexLock lock(lock_);
  for (ThreadLocalHeap* heap = active_.front(); heap != nullptr; heap = active_.Next(heap)) {
    const uint32_t rest = heap->rest_.CurrentRest();
    heap->is_due_ = rest != 0 && (at_once || rest == heap->seen_rest_);
    heap->seen_rest_ = rest;
  }
}

ThreadLocalHeap* ThreadRegistry::TakeResting() {
  MutexLock lock(lock_);
  for (ThreadLocalHeap* heap = active_.front(); heap != nullptr; heap = active_.Next(heap)) {
    if (!heap->is_due_) continue;
    heap->is_due_ = false;
    if (heap->rest_.TryTake(heap->seen_rest_)) return heap;
  }
  return nullptr;
}

// One at a time, and without the lock: the owner of a heap that is taken may wake up and wait for
// it, and no longer than one takes.
size_t ThreadRegistry::EmptyResting(bool at_once) {
  size_t bytes = 0;
  LookAtRests(at_once);
  while (ThreadLocalHeap* heap = TakeResting()) {
    const size_t before = heap->cached_bytes();
    heap->Flush(ThreadLocalHeap::Flushing::kBelowTops);
    bytes += before - heap->cached_bytes();
    heap->rest_.GiveBack();
  }
  return bytes;
}

bool ThreadRegistry::Holds(const void* slot, SizeClass size_class) {
  MutexLock lock(lock_);
  for (ThreadLocalHeap* heap = active_.front(); heap != nullptr; heap = active_.Next(heap)) {
    if (heap->Holds(slot, size_class)) return true;
  }
  return false;
}

size_t ThreadRegistry::cached_bytes() {
  MutexLock lock(lock_);
  size_t bytes = 0;
  for (ThreadLocalHeap* heap = active_.front(); heap != nullptr; heap = active_.Next(heap)) {
    bytes += heap->cached_bytes();
  }
  return bytes;
}

size_t ThreadRegistry::thread_count() {
  MutexLock lock(lock_);
  return active_.size();
}

}  // namespace mesh
