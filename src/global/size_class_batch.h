// SizeClassHeap, how a batch of compaction has the class.
//
// Room: global; for who runs batches. Locks: the class's, for as long as a batch takes.
#pragma once

#include "src/global/size_class_heap.h"

namespace mesh {

// Holds the lock for long: who need not wait is sent away, and what they leave is freed after.
class SCOPED_CAPABILITY SizeClassHeap::BatchLock {
 public:
  explicit BatchLock(SizeClassHeap& heap) ACQUIRE(heap.lock_) : heap_(heap) {
    heap_.lock_.Lock();
    heap_.lock_.set_meter(heap_.meter_);
  }
  ~BatchLock() RELEASE() {
    heap_.lock_.set_meter(nullptr);
    heap_.lock_.Unlock();
    heap_.FreePending();
  }
  BatchLock(const BatchLock&) = delete;
  BatchLock& operator=(const BatchLock&) = delete;

 private:
  SizeClassHeap& heap_;
};

template <typename Add>
MeshResult SizeClassHeap::MeshBatch(Mesher& mesher, Add add) {
  Gathered gathered;
  BatchLock lock(*this);
  add(&gathered);
  MeshResult result = RunBatchLocked(mesher);
  PutBackLocked(&gathered, gathered.count_);
  return result;
}

}  // namespace mesh
