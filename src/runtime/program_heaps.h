// The heaps that the program makes, as libmesh sees them; see global/program_heaps.h.
//
// Room: runtime. Thread rule: any thread; not inside signal handlers. errno stays untouched. A heap
// that is handed in is in use, else the program ends.
#pragma once

#include <cstddef>
#include <cstdint>

namespace mesh {

class ProgramHeap;

// Null when out of memory.
ProgramHeap* NewHeap();
void DeleteHeap(ProgramHeap* heap);
void DestroyHeap(ProgramHeap* heap);

// At least `size` bytes at a multiple of `alignment`, a power of two, from a heap; `zeroed`: all
// that may be used is zero. Null when out of memory.
void* AllocateIn(ProgramHeap* heap, size_t size, size_t alignment, bool zeroed);

// From the main heap, at `offset` bytes before a multiple of `alignment`, a power of two that is a
// page at most. Any address inside such an object stands for it. Null when out of memory.
void* AllocateAtOffset(size_t size, size_t alignment, size_t offset, bool zeroed);

// The heap that an object lies in; null for the main heap. Any address.
ProgramHeap* HeapOf(const void* object);

// Meshes inside the heap if `meshes`, and gives back what it does not need. Returns bytes.
size_t CollectHeap(ProgramHeap* heap, bool meshes);

// What the calling thread's Malloc() and its kin take memory from, null for the main heap. Returns:
// what it was.
ProgramHeap* SetDefaultHeap(ProgramHeap* heap);
ProgramHeap* DefaultHeap();

// While it lives, the calling thread's default heap is the main one.
class MainHeapScope {
 public:
  MainHeapScope();
  ~MainHeapScope();
  MainHeapScope(const MainHeapScope&) = delete;
  MainHeapScope& operator=(const MainHeapScope&) = delete;

 private:
  ProgramHeap* before_;
  uint32_t generation_ = 0;
};

// Calls visit(context, object, usable size) for each object until it returns false. Returns: 0,
// ECANCELED when it did, or ENOMEM.
int VisitHeap(ProgramHeap* heap, bool (*visit)(void* context, void* object, size_t usable_size),
              void* context);

}  // namespace mesh
