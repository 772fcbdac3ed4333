// The paths of malloc and free that nearly every call takes, to be compiled into their callers.
//
//   TryMalloc:  size -> class (one load) -> the thread's vector -> its top slot
//   FastFree:   address -> page entry (two loads) -> class -> the thread's vector
//
// No atomic operation that costs more than a plain one, no call, no lock. What they cannot serve
// goes to the slow paths in heap.cc.
// Room: runtime. Thread rule: as heap.h, whose Malloc and Free are these.
#pragma once

#include <cstddef>
#include <cstdint>

#include "src/arena/page_map.h"
#include "src/base/check.h"
#include "src/runtime/thread_state.h"
#include "src/sizeclass/size_class.h"

namespace mesh {

// Sizes whose class is found by one load; the rest has more to do than to find it.
inline constexpr size_t kFastSize = internal::kFineLimit;

// Any size: an empty vector, a size above kFineLimit, a thread without a heap.
void* SlowMalloc(size_t size);
// Any pointer: null, foreign, large, or no room in the vector. `entry`: PageEntry::bits() of its
// page as of FindBelow(), as long as a register: the fast path need not cut it.
void SlowFree(void* object, size_t entry);

// The same, where the caller says how large the object was made: kAnySize if it does not; and how
// it was aligned: 0 if it may have been resized since. Hardened heaps check it.
void SlowFreeSized(void* object, size_t entry, size_t size, size_t alignment);

// A slot that is at hand, or null: then SlowMalloc.
MESH_ALWAYS_INLINE void* TryMalloc(size_t size) {
  if (MESH_UNLIKELY(size > kFastSize)) return nullptr;
  return thread_state.heap->Take(ClassFor(size));
}

// The same for callers of malloc(3), whose sizes may be those of file buffers: then null.
MESH_ALWAYS_INLINE void* TryMallocQuickly(size_t size) {
  if (MESH_UNLIKELY(size > ThreadLocalHeap::kQuickSize)) return nullptr;
  return thread_state.heap->TakeQuickly(size);
}

// Whether that was all there is to do. *entry: of the object's page.
MESH_ALWAYS_INLINE bool TryFree(void* object, size_t* entry) {
  // Whatever is no object of a size class has a class whose vector never has room.
  *entry = PageMap::FindBelow(reinterpret_cast<uintptr_t>(object)).bits();
  return MESH_LIKELY(thread_state.heap->Keep(object, PageEntry::Of(static_cast<uint32_t>(*entry))));
}

MESH_ALWAYS_INLINE void FastFree(void* object) {
  size_t entry = 0;
  if (MESH_UNLIKELY(!TryFree(object, &entry))) SlowFree(object, entry);
}

MESH_ALWAYS_INLINE void FastFreeSized(void* object, size_t size, size_t alignment) {
  size_t entry = 0;
  if (MESH_UNLIKELY(!TryFree(object, &entry))) SlowFreeSized(object, entry, size, alignment);
}

}  // namespace mesh
