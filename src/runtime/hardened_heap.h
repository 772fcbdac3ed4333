// The malloc family of a hardened heap (MESH_SECURE; docs/security.md): what the slow paths of
// heap.cc hand to it, which is every call then.
//
//   size -> zero_objects | slot of a thread's vector, SlotGuard | large object, guards, canary
//
// Room: runtime. Thread rule: as heap.h.
#pragma once

#include <cstddef>
#include <cstdint>

#include "src/base/check.h"
#include "src/secure/policy.h"

namespace mesh {

// Brings the heap up, which decides; the first call of the process comes here.
bool DecideHardened();

MESH_ALWAYS_INLINE bool IsHardened() {
  const int has_states = secure_policy.has_states;
  return MESH_UNLIKELY(has_states != 0) && (has_states > 0 || DecideHardened());
}

// For slow paths that end in a jump: the functions that it leads to decide, where nobody has yet.
MESH_ALWAYS_INLINE bool MayBeHardened() { return MESH_UNLIKELY(secure_policy.has_states != 0); }

// Of a heap that may be hardened.
void* HardenedMalloc(size_t size);
void* HardenedCalloc(size_t size);
// As SlowFree() and SlowFreeSized().
void HardenedFree(void* object, size_t entry);
void HardenedFreeSized(void* object, size_t entry, size_t size, size_t alignment);
// Of one that is.
void* HardenedAllocate(size_t size, size_t alignment, bool zeroed);
// Both not null and not 0.
void* HardenedRealloc(void* object, size_t size);
// 0 for what is no object.
size_t HardenedUsableSize(const void* object);

// In heap.cc: from now on usable sizes are looked up. Frees to a heap that the program has made.
void LookAtEach();
void FreeToProgramHeap(void* object);

}  // namespace mesh
