// The process's heap, as the malloc family sees it: runtime's face towards libmesh.
//
// Every function may be called at any time of the process's life, from the loader's first malloc
// on, and brings the heap up if need be. None touches errno, throws, or calls back into malloc.
// Room: runtime. Thread rule: any thread; not inside signal handlers.
#pragma once

#include <cstddef>
#include <cstdint>

#include "src/control/mallctl.h"

namespace mesh {

// At least `size` bytes, aligned to 16 (8 for size <= 8); null if they cannot be had. 0 counts as
// 1.
void* Malloc(size_t size);

// As Malloc, and all bytes are zero.
void* Calloc(size_t size);

// As Malloc, aligned to `alignment`, a power of two.
void* AlignedAlloc(size_t alignment, size_t size);

// As AlignedAlloc, and all bytes that may be used are zero.
void* AlignedCalloc(size_t alignment, size_t size);

// Moves or grows the object at `object` to `size` > 0 bytes; null: it stays as it is.
// Args: object: from this heap; null counts as a new object, a foreign pointer gives null.
void* Realloc(void* object, size_t size);

// Makes the object `size` bytes long at its place. False: it cannot be done, or `object` is none of
// ours; nothing has changed.
bool Expand(void* object, size_t size);

// Gives an object back. Null and foreign pointers are left alone.
void Free(void* object);

// Bytes that the program may use at `object`; 0 for null and for a foreign pointer.
size_t UsableSize(const void* object);

// At the process's end: of a hardened heap, ends it in a line when what the calling thread has
// freed was written to.
void CheckAtExit();

// Whether `address` lies in address space that objects come from.
bool IsInHeap(const void* address);

// Whether an object or a span of objects has the page of `address`; of a large object, its first
// and its last page. True for the addresses of objects of no size.
bool Owns(const void* address);

// Bytes that Malloc(size) gives, or more while such objects are being compacted; 0 if it cannot be
// met.
size_t GoodSize(size_t size);

// Since the heap came up [ns].
uint64_t UptimeNs();

// What mallctl and the reports act on. The reference holds for the process's life.
const ControlTarget& ProcessControl();

}  // namespace mesh
