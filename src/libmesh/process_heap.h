// ProcessHeap: runtime's heap functions as one type, for MallocApi, ObjectApi and NewApi.
//
// Room: libmesh. Thread rule: any thread.
#pragma once

#include <cstddef>

#include "src/libmesh/malloc_api.h"
#include "src/libmesh/object_api.h"
#include "src/runtime/fast_path.h"
#include "src/runtime/heap.h"
#include "src/runtime/program_hooks.h"

namespace mesh {

struct ProcessHeap {
  static MESH_ALWAYS_INLINE void* TryMalloc(size_t size) { return mesh::TryMalloc(size); }
  static void* Malloc(size_t size) { return SlowMalloc(size); }
  static MESH_ALWAYS_INLINE void Free(void* object) { FastFree(object); }
  static void* Calloc(size_t size) { return mesh::Calloc(size); }
  static void* Realloc(void* object, size_t size) { return mesh::Realloc(object, size); }
  static void* AlignedAlloc(size_t alignment, size_t size) {
    return mesh::AlignedAlloc(alignment, size);
  }
  static void* AlignedCalloc(size_t alignment, size_t size) {
    return mesh::AlignedCalloc(alignment, size);
  }
  static void NoteError(int error) { mesh::NoteError(error); }
  static bool Expand(void* object, size_t size) { return mesh::Expand(object, size); }
  static size_t UsableSize(const void* object) { return mesh::UsableSize(object); }
  static bool Owns(const void* object) { return mesh::Owns(object); }
  static size_t GoodSize(size_t size) { return mesh::GoodSize(size); }
};

using ProcessMalloc = MallocApi<ProcessHeap>;
using ProcessObjects = ObjectApi<ProcessHeap>;

}  // namespace mesh
