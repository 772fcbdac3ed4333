// The functions of mesh/mesh.h that make, resize and free objects. The rules are in malloc_api.h
// and object_api.h.
//
// Room: libmesh. Thread rule: any thread, not inside signal handlers.
#include "src/libmesh/export.h"
#include "src/libmesh/mesh/mesh.h"
#include "src/libmesh/object_api.h"
#include "src/libmesh/process_heap.h"

using mesh::ProcessMalloc;
using mesh::ProcessObjects;

MESH_EXPORT void* mesh_malloc(size_t size) { return ProcessMalloc::Malloc(size); }

MESH_EXPORT void* mesh_zalloc(size_t size) { return ProcessObjects::Zalloc(size); }

MESH_EXPORT void* mesh_calloc(size_t count, size_t size) {
  return ProcessObjects::Calloc(count, size);
}

MESH_EXPORT void* mesh_realloc(void* object, size_t size) {
  return ProcessMalloc::Realloc(object, size);
}

MESH_EXPORT void* mesh_reallocarray(void* object, size_t count, size_t size) {
  return ProcessMalloc::Reallocarray(object, count, size);
}

MESH_EXPORT void* mesh_reallocf(void* object, size_t size) {
  return ProcessMalloc::Reallocf(object, size);
}

MESH_EXPORT void* mesh_recallocarray(void* object, size_t old_count, size_t count, size_t size) {
  return ProcessObjects::Recallocarray(object, old_count, count, size);
}

MESH_EXPORT void* mesh_expand(void* object, size_t size) {
  return ProcessObjects::Expand(object, size);
}

MESH_EXPORT void mesh_free(void* object) { ProcessMalloc::Free(object); }

MESH_EXPORT char* mesh_strdup(const char* text) { return ProcessMalloc::Strdup(text); }

MESH_EXPORT char* mesh_strndup(const char* text, size_t most) {
  return ProcessMalloc::Strndup(text, most);
}

MESH_EXPORT void* mesh_malloc_aligned(size_t size, size_t alignment) {
  return ProcessMalloc::AlignedAlloc(alignment, size);
}

MESH_EXPORT void* mesh_zalloc_aligned(size_t size, size_t alignment) {
  return ProcessObjects::ZallocAligned(size, alignment);
}

MESH_EXPORT void* mesh_realloc_aligned(void* object, size_t size, size_t alignment) {
  return ProcessObjects::ReallocAligned(object, size, alignment);
}

MESH_EXPORT size_t mesh_usable_size(const void* object) { return mesh::UsableSize(object); }

MESH_EXPORT size_t mesh_good_size(size_t size) { return mesh::GoodSize(size); }

MESH_EXPORT bool mesh_is_in_heap(const void* address) { return mesh::IsInHeap(address); }
