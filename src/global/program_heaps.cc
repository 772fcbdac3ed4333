// See program_heaps.h.
#include "src/global/program_heaps.h"

#include <new>

#include "src/arena/metadata.h"
#include "src/base/check.h"
#include "src/miniheap/mini_heap.h"

namespace mesh {

ProgramHeap* ProgramHeaps::ById(uint16_t id) const {
  // order: acquire; pairs with the releases in MakeLocked(). The heap is visible.
  Chunk* chunk = by_id_[id / kChunk].load(std::memory_order_acquire);
  return chunk == nullptr ? nullptr : (*chunk)[id % kChunk].load(std::memory_order_acquire);
}

ProgramHeap* ProgramHeaps::MakeLocked() {
  if (made_ == kMostHeaps) return nullptr;
  const uint32_t id = made_ + 1;
  // order: relaxed; changes under the lock.
  Chunk* chunk = by_id_[id / kChunk].load(std::memory_order_relaxed);
  if (chunk == nullptr) {
    void* memory = AllocateMetadata(sizeof(Chunk));
    if (memory == nullptr) return nullptr;
    chunk = static_cast<Chunk*>(memory);
    // order: release; pairs with the acquire in ById().
    by_id_[id / kChunk].store(chunk, std::memory_order_release);
  }
  void* memory = AllocateMetadata(sizeof(ProgramHeap));
  if (memory == nullptr) return nullptr;
  auto* heap = new (memory) ProgramHeap();
  heap->id_ = static_cast<uint16_t>(id);
  // order: release; pairs with the acquire in ById().
  (*chunk)[id % kChunk].store(heap, std::memory_order_release);
  made_ = id;
  return heap;
}

ProgramHeap* ProgramHeaps::New(uint64_t seed, bool takes_interior) {
  MutexLock lock(lock_);
  random_.Seed(seed);
  // One that takes interiors never ends, and is made anew: its classes are told when they are made.
  ProgramHeap* heap = takes_interior ? nullptr : free_;
  if (heap != nullptr) {
    free_ = heap->next_free_;
  } else {
    heap = MakeLocked();
    if (heap == nullptr) return nullptr;
    heap->takes_interior_ = takes_interior;
  }
  for (std::atomic<SizeClassHeap*>& of_class : heap->classes_) {
    // order: acquire; pairs with the release in MakeClass().
    SizeClassHeap* classes = of_class.load(std::memory_order_acquire);
    if (classes != nullptr) classes->Restart(random_.Next());
  }
  // order: release; with the heap's address, which others get from the caller.
  heap->generation_.fetch_add(1, std::memory_order_release);
  return heap;
}

SizeClassHeap* ProgramHeaps::MakeClass(ProgramHeap* heap, SizeClass size_class) {
  MutexLock lock(lock_);
  // order: relaxed; changes under the lock.
  SizeClassHeap* made = heap->classes_[size_class].load(std::memory_order_relaxed);
  if (made != nullptr) return made;
  constexpr size_t kShareOffset = RoundUp(sizeof(SizeClassHeap), 64);
  void* memory = AllocateMetadata(kShareOffset + sizeof(ProgramShare));
  if (memory == nullptr) return nullptr;
  made = new (memory) SizeClassHeap();
  auto* share = new (static_cast<char*>(memory) + kShareOffset) ProgramShare();
  share->heap = heap->id_;
  share->takes_interior = heap->takes_interior_;
  share->generation = &heap->generation_;
  share->order = order_;
  share->random.Seed(random_.Next());
  made->Init(size_class, &arena_, &backing_, &releaser_, share);
  made->TakeSettings(MainClass(size_class));
  all_.Push(made);
  // order: release; pairs with the acquires of who loads it.
  heap->classes_[size_class].store(made, std::memory_order_release);
  return made;
}

void* ProgramHeaps::Allocate(ProgramHeap* heap, uint32_t generation, SizeClass size_class,
                             bool* looked, bool* is_over) {
  // order: acquire; pairs with the release in MakeClass().
  SizeClassHeap* classes = heap->classes_[size_class].load(std::memory_order_acquire);
  if (classes == nullptr) classes = MakeClass(heap, size_class);
  return classes == nullptr ? nullptr : classes->TakeOne(generation, looked, is_over);
}

SizeClassHeap* ProgramHeaps::ClassOf(const MiniHeap& span) const {
  const ProgramHeap* heap = ById(span.owner());
  // order: acquire; pairs with the release in MakeClass().
  return heap == nullptr ? nullptr
                         : heap->classes_[span.size_class()].load(std::memory_order_acquire);
}

bool ProgramHeaps::Free(void* object) {
  const uintptr_t address = reinterpret_cast<uintptr_t>(object);
  while (true) {
    PageEntry entry = PageMap::Find(address);
    if (entry.size_class() != kProgramHeapClass) return false;
    // Read without a lock: whoever holds an object knows its span's record, but for a heap that
    // hands it over, which changes the entry too.
    SizeClassHeap* classes = ClassOf(*MiniHeap::Of(PageMap::SpanOf(address, entry)));
    if (classes != nullptr && classes->ReleaseOne(object)) return true;
  }
}

size_t ProgramHeaps::UsableSize(const void* object) const {
  const uintptr_t address = reinterpret_cast<uintptr_t>(object);
  const MiniHeap* span = MiniHeap::Of(PageMap::SpanOf(address, PageMap::Find(address)));
  const size_t size = span->info().size;
  const SizeClassHeap* classes = ClassOf(*span);
  if (classes == nullptr || !classes->takes_interior()) return size;
  const size_t offset = address - span->address();
  return size - (offset - span->OffsetOf(span->SlotAt(offset)));
}

ProgramHeap* ProgramHeaps::Find(const void* object) const {
  const uintptr_t address = reinterpret_cast<uintptr_t>(object);
  const PageEntry entry = PageMap::Find(address);
  const SizeClass size_class = entry.size_class();
  if (size_class == kProgramHeapClass) {
    return ById(MiniHeap::Of(PageMap::SpanOf(address, entry))->owner());
  }
  if (size_class != kLargeClass || entry.page_in_span() != 0) return nullptr;
  const auto* large = PageMap::Record<LargeObject>(PageMap::SpanOf(address, entry));
  // order: relaxed; who asks holds the object, and only its heap's end changes it.
  const uint16_t id = large->heap.load(std::memory_order_relaxed);
  return id == 0 ? nullptr : ById(id);
}

void ProgramHeaps::End(ProgramHeap* heap) {
  uint32_t generation = heap->generation();
  // order: relaxed; [PR1].
  const bool ends =
      generation % 2 == 1 && heap->generation_.compare_exchange_strong(generation, generation + 1,
                                                                       std::memory_order_relaxed);
  if (!ends) FatalAt("end of a heap that has ended", heap);
}

void ProgramHeaps::Retire(ProgramHeap* heap) {
  MutexLock lock(lock_);
  heap->next_free_ = free_;
  free_ = heap;
}

void ProgramHeaps::Delete(ProgramHeap* heap) {
  End(heap);
  for (SizeClass c = 1; c < kClassCount; c++) {
    // order: acquire; pairs with the release in MakeClass().
    SizeClassHeap* classes = heap->classes_[c].load(std::memory_order_acquire);
    if (classes != nullptr) classes->HandOver(MainClass(c));
  }
  {
    MutexLock lock(large_lock_);
    while (heap->large_ != kNoSpan) UnlinkLocked(heap->large_);
  }
  Retire(heap);
}

void ProgramHeaps::Destroy(ProgramHeap* heap) {
  End(heap);
  for (std::atomic<SizeClassHeap*>& of_class : heap->classes_) {
    // order: acquire; pairs with the release in MakeClass().
    SizeClassHeap* classes = of_class.load(std::memory_order_acquire);
    if (classes != nullptr) classes->DestroyAll();
  }
  while (true) {
    SpanId id = kNoSpan;
    {
      MutexLock lock(large_lock_);
      id = heap->large_;
      if (id == kNoSpan) break;
      UnlinkLocked(id);
    }
    arena_.FreeLarge(id);
  }
  Retire(heap);
}

size_t ProgramHeaps::ReleaseFreeSlots(const ProgramHeap* heap) {
  size_t released = 0;
  all_.ForEach([&](SizeClassHeap& classes) {
    if (heap != nullptr && classes.program_heap() != heap->id()) return;
    classes.DropReady();
    released += classes.ReleaseFreeSlots();
  });
  return released;
}

void ProgramHeaps::LockClasses() NO_THREAD_SAFETY_ANALYSIS {
  all_.ForEach([](SizeClassHeap& heap) NO_THREAD_SAFETY_ANALYSIS { heap.lock().Lock(); });
  large_lock_.Lock();
}

void ProgramHeaps::UnlockClasses() NO_THREAD_SAFETY_ANALYSIS {
  large_lock_.Unlock();
  all_.ForEach([](SizeClassHeap& heap) NO_THREAD_SAFETY_ANALYSIS { heap.lock().Unlock(); });
}

void ProgramHeaps::ReseedLocked(uint64_t seed) NO_THREAD_SAFETY_ANALYSIS {
  Random random(seed);
  all_.ForEach([&](SizeClassHeap& heap)
                   NO_THREAD_SAFETY_ANALYSIS { heap.ReseedLocked(random.Next()); });
}

}  // namespace mesh
