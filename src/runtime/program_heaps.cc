// See program_heaps.h.
#include "src/runtime/program_heaps.h"

#include <cerrno>
#include <cstring>

#include "src/base/check.h"
#include "src/global/program_heaps.h"
#include "src/runtime/default_heap.h"
#include "src/runtime/program_hooks.h"
#include "src/runtime/runtime.h"
#include "src/runtime/thread_state.h"
#include "src/secure/policy.h"
#include "src/sizeclass/size_class.h"

namespace mesh {
namespace {

// Where objects lie that are aligned at an offset; made when the first of them is.
constinit std::atomic<ProgramHeap*> offset_heap{nullptr};

ProgramHeaps& Heaps() { return Runtime::Get().global().program_heaps(); }

uint32_t GenerationInUse(const ProgramHeap* heap) {
  uint32_t generation = heap->generation();
  if (generation % 2 == 0) FatalAt("use of a heap that has ended", heap);
  return generation;
}

SizeClass ClassOf(size_t size, size_t alignment) {
  if (alignment > kMinAlignment) return AlignedClassFor(size, alignment);
  return size > kMaxSmallSize ? kNoClass : ClassFor(size);
}

void* AllocateLargeAt(size_t size, size_t shift, bool zeroed) {
  if (IsEnding()) return AllocateWhileEnding(size, kMinAlignment);
  BusyScope busy;
  void* object = Runtime::Get().global().AllocateLarge(size, kPageSize, zeroed, shift);
  Runtime::Get().OnSlowPath();
  return object;
}

ProgramHeap* OffsetHeap() {
  // order: acquire; pairs with the exchange below. The heap is visible.
  ProgramHeap* heap = offset_heap.load(std::memory_order_acquire);
  if (heap != nullptr) return heap;
  ProgramHeap* made = Heaps().New(Runtime::Get().NewSeed(), true);
  if (made == nullptr) return nullptr;
  // order: acq_rel; as above, and of the heap that another thread has made meanwhile.
  if (offset_heap.compare_exchange_strong(heap, made, std::memory_order_acq_rel)) return made;
  Heaps().Delete(made);
  return heap;
}

// It may have ended since it was of that generation: who uses it finds out.
void EnterDefaultHeap(ProgramHeap* heap, uint32_t generation) {
  // The thread's vectors wait, out of sight of its malloc; what it frees still goes to them.
  thread_state.own_heap = OwnHeap();
  thread_state.heap = &no_heap;
  thread_state.default_generation = generation;
  thread_state.default_heap = heap;
}

ProgramHeap* TryNewHeap() {
  BusyScope busy;
  return Heaps().New(Runtime::Get().NewSeed());
}

}  // namespace

void* AllocateFrom(ProgramHeap* heap, uint32_t generation, size_t size, size_t alignment,
                   bool zeroed, bool* is_over) {
  *is_over = false;
  if (IsEnding()) return AllocateWhileEnding(size, alignment);
  BusyScope busy;
  Runtime& runtime = Runtime::Get();
  SizeClass size_class = ClassOf(size, alignment);
  if (size_class == kNoClass) {
    void* object =
        runtime.global().AllocateLargeIn(heap, generation, size, alignment, zeroed, is_over);
    runtime.OnSlowPath();
    return object;
  }
  void* object = AllocateClassFrom(heap, generation, size_class, is_over);
  if (object != nullptr && zeroed) memset(object, 0, kSizeClasses[size_class].size);
  return object;
}

void* AllocateClassFrom(ProgramHeap* heap, uint32_t generation, SizeClass size_class,
                        bool* is_over) {
  BusyScope busy;
  bool looked = false;
  *is_over = false;
  void* object = Heaps().Allocate(heap, generation, size_class, &looked, is_over);
  if (looked) Runtime::Get().OnSlowPath();
  return object;
}

ProgramHeap* NewHeap() {
  while (true) {
    ProgramHeap* heap = TryNewHeap();
    if (heap != nullptr || !AskForMemory(sizeof(ProgramHeap))) return heap;
  }
}

void DeleteHeap(ProgramHeap* heap) {
  BusyScope busy;
  Heaps().Delete(heap);
  Runtime::Get().OnSlowPath();
}

void DestroyHeap(ProgramHeap* heap) {
  BusyScope busy;
  Heaps().Destroy(heap);
  Runtime::Get().OnSlowPath();
}

void* AllocateIn(ProgramHeap* heap, size_t size, size_t alignment, bool zeroed) {
  if (HasSlowPathNews()) RunDeferredFree(false);
  while (true) {
    bool is_over = false;
    void* object = AllocateFrom(heap, GenerationInUse(heap), size, alignment, zeroed, &is_over);
    if (is_over) FatalAt("use of a heap that has ended", heap);
    if (MESH_LIKELY(object != nullptr) || !AskForMemory(size)) return object;
  }
}

void* AllocateAtOffset(size_t size, size_t alignment, size_t offset, bool zeroed) {
  const size_t shift = (alignment - offset % alignment) % alignment;
  if (size > PTRDIFF_MAX) return nullptr;
  if (AlignedClassFor(size + shift, alignment) == kNoClass) {
    while (true) {
      void* object = AllocateLargeAt(size, shift, zeroed);
      if (object != nullptr || !AskForMemory(size)) return object;
    }
  }
  ProgramHeap* heap = OffsetHeap();
  while (heap == nullptr && AskForMemory(size)) heap = OffsetHeap();
  if (heap == nullptr) return nullptr;
  auto* slot = static_cast<char*>(AllocateIn(heap, size + shift, alignment, zeroed));
  return slot != nullptr ? slot + shift : nullptr;
}

ProgramHeap* HeapOf(const void* object) {
  ProgramHeap* heap = Heaps().Find(object);
  // order: relaxed; only whether it is that one.
  return heap == offset_heap.load(std::memory_order_relaxed) ? nullptr : heap;
}

size_t CollectHeap(ProgramHeap* heap, bool meshes) {
  BusyScope busy;
  GenerationInUse(heap);
  return Runtime::Get().CompactHeap(heap, meshes);
}

int VisitHeap(ProgramHeap* heap, bool (*visit)(void* context, void* object, size_t usable_size),
              void* context) {
  GenerationInUse(heap);
  switch (Heaps().Visit(heap, visit, context)) {
    case ProgramHeaps::Visited::kAll:
      return 0;
    case ProgramHeaps::Visited::kEnded:
      return ECANCELED;
    case ProgramHeaps::Visited::kNoMemory:
      break;
  }
  return ENOMEM;
}

ProgramHeap* DefaultHeap() {
  ProgramHeap* heap = thread_state.default_heap;
  if (heap == nullptr || heap->generation() == thread_state.default_generation) return heap;
  LeaveDefaultHeap();
  return nullptr;
}

void LeaveDefaultHeap() {
  if (thread_state.default_heap == nullptr) return;
  thread_state.default_heap = nullptr;
  // A hardened heap stays there, default or not.
  if (thread_state.own_heap == nullptr || secure_policy.has_states > 0) return;
  thread_state.heap = thread_state.own_heap;
  thread_state.own_heap = nullptr;
}

ProgramHeap* SetDefaultHeap(ProgramHeap* heap) {
  ProgramHeap* before = DefaultHeap();
  uint32_t generation = heap == nullptr ? 0 : GenerationInUse(heap);
  LeaveDefaultHeap();
  if (heap != nullptr) EnterDefaultHeap(heap, generation);
  return before;
}

MainHeapScope::MainHeapScope() : before_(DefaultHeap()) {
  if (before_ == nullptr) return;
  generation_ = thread_state.default_generation;
  LeaveDefaultHeap();
}

MainHeapScope::~MainHeapScope() {
  if (before_ == nullptr) return;
  LeaveDefaultHeap();
  EnterDefaultHeap(before_, generation_);
}

}  // namespace mesh
