// See heap.h: the paths of malloc and free from the fast ones down to the global heap.
#include "src/runtime/heap.h"

#include <cstring>

#include "src/arena/page_map.h"
#include "src/base/check.h"
#include "src/runtime/runtime.h"
#include "src/runtime/thread_state.h"
#include "src/sizeclass/size_class.h"

namespace mesh {
namespace {

// The thread has no free slot of the class (or no heap yet).
MESH_NOINLINE void* AllocateSlow(SizeClass size_class) {
  BusyScope busy;
  Runtime& runtime = Runtime::Get();
  ThreadLocalHeap* heap = runtime.AttachThread();
  if (heap == nullptr) return runtime.global().AllocateDirect(size_class);
  void* object = heap->Refill(size_class);
  runtime.OnSlowPath();
  return object;
}

MESH_NOINLINE void* AllocateLarge(size_t size, size_t alignment, bool zeroed) {
  BusyScope busy;
  Runtime& runtime = Runtime::Get();
  void* object = runtime.global().AllocateLarge(size, alignment, zeroed);
  runtime.OnSlowPath();
  return object;
}

MESH_NOINLINE void FreeSlow(void* object, SizeClass size_class) {
  BusyScope busy;
  Runtime& runtime = Runtime::Get();
  ThreadLocalHeap* heap = runtime.AttachThread();
  if (heap == nullptr) return runtime.global().FreeDirect(object, size_class);
  if (!heap->Keep(object, size_class)) heap->FreeSlow(object, size_class);
  runtime.OnSlowPath();
}

MESH_ALWAYS_INLINE void* AllocateClass(SizeClass size_class) {
  void* object = thread_state.heap->Take(size_class);
  return MESH_LIKELY(object != nullptr) ? object : AllocateSlow(size_class);
}

// Null, foreign, large, or no object at all.
MESH_NOINLINE void FreeUnusual(void* object, PageEntry entry) {
  if (entry.size_class() == kLargeClass) {
    BusyScope busy;
    Runtime& runtime = Runtime::Get();
    runtime.global().FreeLarge(object);
    runtime.OnSlowPath();
    return;
  }
  if (PageMap::Owns(reinterpret_cast<uintptr_t>(object))) {
    FatalAt("free of a pointer that is not in use", object);
  }
}

PageEntry EntryOf(const void* object) { return PageMap::Find(reinterpret_cast<uintptr_t>(object)); }

bool IsSmall(PageEntry entry) {
  return entry.size_class() != kNoClass && entry.size_class() < kClassCount;
}

}  // namespace

void* Malloc(size_t size) {
  if (MESH_LIKELY(size <= kMaxSmallSize)) return AllocateClass(ClassFor(size));
  return AllocateLarge(size, kMinAlignment, false);
}

void* Calloc(size_t size) {
  if (size > kMaxSmallSize) return AllocateLarge(size, kMinAlignment, true);
  void* object = AllocateClass(ClassFor(size));
  if (object != nullptr) memset(object, 0, size);
  return object;
}

void* AlignedAlloc(size_t alignment, size_t size) {
  SizeClass size_class = AlignedClassFor(size, alignment);
  if (size_class != kNoClass) return AllocateClass(size_class);
  return AllocateLarge(size, alignment, false);
}

void Free(void* object) {
  PageEntry entry = EntryOf(object);
  SizeClass size_class = entry.size_class();
  if (MESH_UNLIKELY(!IsSmall(entry))) return FreeUnusual(object, entry);
  if (MESH_UNLIKELY(!thread_state.heap->Keep(object, size_class))) FreeSlow(object, size_class);
}

void* Realloc(void* object, size_t size) {
  if (object == nullptr) return Malloc(size);
  PageEntry entry = EntryOf(object);
  if (entry.is_empty()) return nullptr;
  size_t old_size = UsableSize(object);
  if (IsSmall(entry)) {
    // An object stays where it is while it fills at least half of its slot.
    if (size <= old_size && size >= old_size / 2) return object;
  } else if (size > kMaxSmallSize) {
    BusyScope busy;
    void* resized = Runtime::Get().global().ResizeLarge(object, size);
    if (resized != nullptr) return resized;
  }
  void* moved = Malloc(size);
  if (moved == nullptr) return size <= old_size ? object : nullptr;
  memcpy(moved, object, size < old_size ? size : old_size);
  Free(object);
  return moved;
}

size_t UsableSize(const void* object) {
  PageEntry entry = EntryOf(object);
  if (IsSmall(entry)) return kSizeClasses[entry.size_class()].size;
  return entry.size_class() == kLargeClass ? GlobalHeap::LargeSize(object) : 0;
}

bool Owns(const void* address) { return !EntryOf(address).is_empty(); }

size_t GoodSize(size_t size) {
  if (size <= kMaxSmallSize) return kSizeClasses[ClassFor(size)].size;
  return size > PTRDIFF_MAX ? 0 : RoundUp(size, kPageSize);
}

const ControlTarget& ProcessControl() { return Runtime::Get().control(); }

}  // namespace mesh
