// What the slow paths of malloc need of program heaps: the calling thread's default one.
//
// Room: runtime. Thread rule: any thread.
#pragma once

#include <cstddef>
#include <cstdint>

#include "src/sizeclass/size_class.h"

namespace mesh {

class ProgramHeap;

// As AllocateIn(), from a heap that may have ended, or be another's by now: then *is_over.
void* AllocateFrom(ProgramHeap* heap, uint32_t generation, size_t size, size_t alignment,
                   bool zeroed, bool* is_over);

// One object of the class, in the same way.
void* AllocateClassFrom(ProgramHeap* heap, uint32_t generation, SizeClass size_class,
                        bool* is_over);

// The calling thread's malloc uses the main heap again.
void LeaveDefaultHeap();

}  // namespace mesh
