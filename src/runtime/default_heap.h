// What the slow paths of malloc need of program heaps: the calling thread's default one.
//
// Room: runtime. Thread rule: any thread.
#pragma once

#include <cstddef>
#include <cstdint>

#include "src/base/check.h"
#include "src/runtime/thread_state.h"
#include "src/sizeclass/size_class.h"

namespace mesh {

class ProgramHeap;

// The calling thread's malloc uses the main heap again.
void LeaveDefaultHeap();

// As AllocateIn(), from a heap that may have ended, or be another's by now: then *is_over.
void* AllocateFrom(ProgramHeap* heap, uint32_t generation, size_t size, size_t alignment,
                   bool zeroed, bool* is_over);

// The same from the calling thread's default heap. False: it has none, or none any more.
MESH_ALWAYS_INLINE bool AllocateFromDefault(size_t size, size_t alignment, bool zeroed,
                                            void** object) {
  if (MESH_LIKELY(thread_state.default_heap == nullptr)) return false;
  bool is_over = false;
  *object = AllocateFrom(thread_state.default_heap, thread_state.default_generation, size,
                         alignment, zeroed, &is_over);
  if (is_over) LeaveDefaultHeap();
  return !is_over;
}

// One object of the class, in the same way as AllocateFrom().
void* AllocateClassFrom(ProgramHeap* heap, uint32_t generation, SizeClass size_class,
                        bool* is_over);

}  // namespace mesh
