// ProgramHeaps, the half for large objects, and for visits.
#include "src/base/check.h"
#include "src/global/program_heaps.h"
#include "src/os/memory.h"

namespace mesh {
namespace {

LargeObject* Large(SpanId id) { return PageMap::Record<LargeObject>(id); }

// Whether a large object may be in a list: once it is not, it never is again, and nobody else looks
// at its record. In a list, it has to be asked again under the lock.
bool IsListed(SpanId id) {
  // order: acquire; pairs with the release in UnlinkLocked().
  return Large(id)->heap.load(std::memory_order_acquire) != 0;
}

// Memory for a list of spans: on the stack, or mapped for one visit.
class SpanIds {
 public:
  explicit SpanIds(size_t count) {
    if (count <= kFew) {
      ids_ = few_;
      count_ = kFew;
      return;
    }
    mapped_ = RoundUp(count * sizeof(SpanId), kPageSize);
    os::Result<uintptr_t> place = os::MapAnonymous(mapped_);
    if (!place.ok()) return;
    ids_ = reinterpret_cast<SpanId*>(place.value);
    count_ = mapped_ / sizeof(SpanId);
  }
  ~SpanIds() {
    if (ids_ == nullptr || ids_ == few_) return;
    static_cast<void>(os::Unmap(reinterpret_cast<uintptr_t>(ids_), mapped_));
  }
  SpanIds(const SpanIds&) = delete;
  SpanIds& operator=(const SpanIds&) = delete;

  bool ok() const { return ids_ != nullptr; }
  std::span<SpanId> all() { return {ids_, count_}; }

 private:
  static constexpr size_t kFew = 1024;

  SpanId few_[kFew];
  SpanId* ids_ = nullptr;
  size_t count_ = 0;
  size_t mapped_ = 0;
};

}  // namespace

void ProgramHeaps::LinkLocked(ProgramHeap* heap, SpanId id) {
  LargeObject* object = Large(id);
  // order: relaxed; changes under the lock, and who reads it without asks again.
  object->heap.store(heap->id_, std::memory_order_relaxed);
  object->previous = kNoSpan;
  object->next = heap->large_;
  if (heap->large_ != kNoSpan) Large(heap->large_)->previous = id;
  heap->large_ = id;
}

void ProgramHeaps::UnlinkLocked(SpanId id) {
  LargeObject* object = Large(id);
  // order: relaxed; as in LinkLocked().
  ProgramHeap* heap = ById(object->heap.load(std::memory_order_relaxed));
  (object->previous != kNoSpan ? Large(object->previous)->next : heap->large_) = object->next;
  if (object->next != kNoSpan) Large(object->next)->previous = object->previous;
  // order: release; pairs with the acquire in IsListed(). The record is the object's owner's.
  object->heap.store(0, std::memory_order_release);
}

bool ProgramHeaps::AdoptLarge(ProgramHeap* heap, uint32_t generation, SpanId id) {
  MutexLock lock(large_lock_);
  if (heap->generation() != generation) return false;
  LinkLocked(heap, id);
  return true;
}

void ProgramHeaps::ForgetLarge(SpanId id) {
  if (!IsListed(id)) return;
  MutexLock lock(large_lock_);
  // order: relaxed; changes under the lock.
  if (Large(id)->heap.load(std::memory_order_relaxed) != 0) UnlinkLocked(id);
}

void ProgramHeaps::ReplaceLarge(SpanId id, SpanId to) {
  if (!IsListed(id)) return;
  MutexLock lock(large_lock_);
  // order: relaxed; changes under the lock.
  ProgramHeap* heap = ById(Large(id)->heap.load(std::memory_order_relaxed));
  if (heap == nullptr) return;
  UnlinkLocked(id);
  LinkLocked(heap, to);
}

size_t ProgramHeaps::ListLarge(ProgramHeap* heap, std::span<SpanId> out) {
  MutexLock lock(large_lock_);
  size_t listed = 0;
  for (SpanId id = heap->large_; id != kNoSpan; id = Large(id)->next) {
    if (listed < out.size()) out[listed] = id;
    listed++;
  }
  return listed;
}

// Where an object lies that was listed, and its size, both 0 if it no longer is the heap's.
ProgramHeaps::LargePlace ProgramHeaps::PlaceOf(const ProgramHeap* heap, SpanId id) {
  // Who frees one takes it out of its list first.
  MutexLock lock(large_lock_);
  PageEntry entry = PageMap::Find(PageMap::AddressOf(id));
  // order: relaxed; changes under the lock.
  if (entry.size_class() != kLargeClass || entry.page_in_span() != 0 ||
      Large(id)->heap.load(std::memory_order_relaxed) != heap->id_) {
    return {};
  }
  const size_t shift = Large(id)->shift;
  return {PageMap::AddressOf(id) + shift, (Large(id)->PagesNow() << kPageShift) - shift};
}

ProgramHeaps::Visited ProgramHeaps::VisitLarge(ProgramHeap* heap, Visitor visit, void* context) {
  SpanIds ids(ListLarge(heap, {}));
  if (!ids.ok()) return Visited::kNoMemory;
  size_t count = ListLarge(heap, ids.all());
  if (count > ids.all().size()) count = ids.all().size();
  for (SpanId id : ids.all().first(count)) {
    const LargePlace place = PlaceOf(heap, id);
    if (place.size == 0) continue;
    void* object = reinterpret_cast<void*>(place.address);
    if (!visit(context, object, place.size)) return Visited::kEnded;
  }
  return Visited::kAll;
}

ProgramHeaps::Visited ProgramHeaps::VisitClass(SizeClassHeap& heap, Visitor visit, void* context) {
  const size_t size = kSizeClasses[heap.size_class()].size;
  SpanIds ids(heap.ListSpans({}));
  if (!ids.ok()) return Visited::kNoMemory;
  size_t count = heap.ListSpans(ids.all());
  if (count > ids.all().size()) count = ids.all().size();
  for (SpanId id : ids.all().first(count)) {
    bool goes_on = true;
    const uintptr_t base = PageMap::AddressOf(id);
    heap.ObjectsOf(id).ForEachSet([&](SlotIndex slot) {
      const size_t offset = OffsetOf(kSizeClasses[heap.size_class()], slot);
      goes_on = goes_on && visit(context, reinterpret_cast<void*>(base + offset), size);
    });
    if (!goes_on) return Visited::kEnded;
  }
  return Visited::kAll;
}

ProgramHeaps::Visited ProgramHeaps::Visit(ProgramHeap* heap, Visitor visit, void* context) {
  for (std::atomic<SizeClassHeap*>& of_class : heap->classes_) {
    // order: acquire; pairs with the release in MakeClass().
    SizeClassHeap* classes = of_class.load(std::memory_order_acquire);
    if (classes == nullptr) continue;
    Visited visited = VisitClass(*classes, visit, context);
    if (visited != Visited::kAll) return visited;
  }
  return VisitLarge(heap, visit, context);
}

}  // namespace mesh
