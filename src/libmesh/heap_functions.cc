// The functions of mesh/mesh.h for first-class heaps, and for objects that are aligned at an
// offset, which have one for themselves.
//
// Room: libmesh. Thread rule: any thread, not inside signal handlers.
#include <cerrno>
#include <cstring>

#include "src/base/units.h"
#include "src/libmesh/export.h"
#include "src/libmesh/mesh/mesh.h"
#include "src/libmesh/object_api.h"
#include "src/libmesh/process_heap.h"
#include "src/runtime/program_heaps.h"
#include "src/runtime/program_hooks.h"

using mesh::ProcessMalloc;
using mesh::ProcessObjects;

namespace {

constexpr size_t kEveryAlignment = 16;

// The handle of the header, and what is behind it. Null stands for the main heap in both.
mesh::ProgramHeap* Inner(mesh_heap_t* heap) { return reinterpret_cast<mesh::ProgramHeap*>(heap); }
mesh_heap_t* Handle(mesh::ProgramHeap* heap) { return reinterpret_cast<mesh_heap_t*>(heap); }

void* Fail(int error) {
  mesh::NoteError(error);
  errno = error;
  return nullptr;
}

// The heap has told of its want already.
void* OrNoMemory(void* object) {
  if (object == nullptr) errno = ENOMEM;
  return object;
}

bool IsAlignedAt(const void* object, size_t alignment, size_t offset) {
  return (reinterpret_cast<uintptr_t>(object) + offset) % alignment == 0;
}

// The offset asks for more than an alignment can give.
bool NeedsOffset(size_t alignment, size_t offset) { return offset % alignment != 0; }

// 0, or the error of a call with this alignment and offset.
int ErrorOf(size_t alignment, size_t offset) {
  if (!mesh::IsPowerOfTwo(alignment)) return EINVAL;
  return NeedsOffset(alignment, offset) && alignment > mesh::kPageSize ? EINVAL : 0;
}

// Moves an object to memory that `fresh` is, if it is any.
void* MoveTo(void* fresh, void* object, size_t size) {
  if (fresh == nullptr) return nullptr;
  const size_t usable = mesh::UsableSize(object);
  memcpy(fresh, object, size < usable ? size : usable);
  mesh::Free(object);
  return fresh;
}

// A call that makes an object, where the thread's default heap may be another.
template <typename Call>
void* InMainHeap(Call call) {
  mesh::MainHeapScope scope;
  return call();
}

struct Visit {
  mesh_heap_t* heap;
  mesh_visit_block_fun* visitor;
  void* argument;
};

bool CallVisitor(void* context, void* object, size_t usable_size) {
  const auto* visit = static_cast<Visit*>(context);
  return visit->visitor(visit->heap, object, usable_size, visit->argument);
}

}  // namespace

MESH_EXPORT void* mesh_malloc_aligned_at(size_t size, size_t alignment, size_t offset) {
  if (int error = ErrorOf(alignment, offset); error != 0) return Fail(error);
  if (!NeedsOffset(alignment, offset)) return ProcessMalloc::AlignedAlloc(alignment, size);
  return OrNoMemory(mesh::AllocateAtOffset(size, alignment, offset, false));
}

MESH_EXPORT void* mesh_zalloc_aligned_at(size_t size, size_t alignment, size_t offset) {
  if (int error = ErrorOf(alignment, offset); error != 0) return Fail(error);
  if (!NeedsOffset(alignment, offset)) return ProcessObjects::ZallocAligned(size, alignment);
  return OrNoMemory(mesh::AllocateAtOffset(size, alignment, offset, true));
}

MESH_EXPORT void* mesh_realloc_aligned_at(void* object, size_t size, size_t alignment,
                                          size_t offset) {
  if (int error = ErrorOf(alignment, offset); error != 0) return Fail(error);
  if (object == nullptr) return mesh_malloc_aligned_at(size, alignment, offset);
  // What is freed, or is no object.
  if (size == 0 || !mesh::Owns(object)) return ProcessMalloc::Realloc(object, size);
  const size_t usable = mesh::UsableSize(object);
  const bool is_enough = size <= usable && size >= usable / 2;
  if (is_enough && IsAlignedAt(object, alignment, offset)) return object;
  return MoveTo(mesh_malloc_aligned_at(size, alignment, offset), object, size);
}

MESH_EXPORT mesh_heap_t* mesh_heap_new() {
  mesh_heap_t* heap = Handle(mesh::NewHeap());
  if (heap == nullptr) errno = ENOMEM;
  return heap;
}

MESH_EXPORT void mesh_heap_delete(mesh_heap_t* heap) {
  if (heap != nullptr) mesh::DeleteHeap(Inner(heap));
}

MESH_EXPORT void mesh_heap_destroy(mesh_heap_t* heap) {
  if (heap != nullptr) mesh::DestroyHeap(Inner(heap));
}

MESH_EXPORT void* mesh_heap_malloc(mesh_heap_t* heap, size_t size) {
  if (heap == nullptr) return InMainHeap([=] { return ProcessMalloc::Malloc(size); });
  return OrNoMemory(mesh::AllocateIn(Inner(heap), size, kEveryAlignment, false));
}

MESH_EXPORT void* mesh_heap_zalloc(mesh_heap_t* heap, size_t size) {
  if (heap == nullptr) return InMainHeap([=] { return ProcessObjects::Zalloc(size); });
  return OrNoMemory(mesh::AllocateIn(Inner(heap), size, kEveryAlignment, true));
}

MESH_EXPORT void* mesh_heap_calloc(mesh_heap_t* heap, size_t count, size_t size) {
  size_t bytes;
  if (__builtin_mul_overflow(count, size, &bytes)) return Fail(ENOMEM);
  return mesh_heap_zalloc(heap, bytes);
}

MESH_EXPORT void* mesh_heap_malloc_aligned(mesh_heap_t* heap, size_t size, size_t alignment) {
  if (!mesh::IsPowerOfTwo(alignment)) return Fail(EINVAL);
  if (heap == nullptr) {
    return InMainHeap([=] { return ProcessMalloc::AlignedAlloc(alignment, size); });
  }
  return OrNoMemory(mesh::AllocateIn(Inner(heap), size, alignment, false));
}

MESH_EXPORT void* mesh_heap_zalloc_aligned(mesh_heap_t* heap, size_t size, size_t alignment) {
  if (!mesh::IsPowerOfTwo(alignment)) return Fail(EINVAL);
  if (heap == nullptr) {
    return InMainHeap([=] { return ProcessObjects::ZallocAligned(size, alignment); });
  }
  return OrNoMemory(mesh::AllocateIn(Inner(heap), size, alignment, true));
}

MESH_EXPORT void* mesh_heap_realloc(mesh_heap_t* heap, void* object, size_t size) {
  return mesh_heap_realloc_aligned(heap, object, size, kEveryAlignment);
}

MESH_EXPORT void* mesh_heap_realloc_aligned(mesh_heap_t* heap, void* object, size_t size,
                                            size_t alignment) {
  if (!mesh::IsPowerOfTwo(alignment)) return Fail(EINVAL);
  if (object == nullptr) return mesh_heap_malloc_aligned(heap, size, alignment);
  // What is freed, or is no object.
  if (size == 0 || !mesh::Owns(object)) return ProcessMalloc::Realloc(object, size);
  const bool stays = mesh::HeapOf(object) == Inner(heap);
  if (stays && alignment <= kEveryAlignment) {
    return InMainHeap([=] { return ProcessMalloc::Realloc(object, size); });
  }
  const size_t usable = mesh::UsableSize(object);
  const bool is_aligned = stays && IsAlignedAt(object, alignment, 0);
  if (is_aligned && size >= usable / 2 && mesh::Expand(object, size)) return object;
  return MoveTo(mesh_heap_malloc_aligned(heap, size, alignment), object, size);
}

MESH_EXPORT size_t mesh_heap_collect(mesh_heap_t* heap, bool force) {
  if (heap == nullptr) return mesh_collect(force);
  int saved = errno;
  size_t bytes = mesh::CollectHeap(Inner(heap), force);
  errno = saved;
  return bytes;
}

MESH_EXPORT bool mesh_heap_contains(const mesh_heap_t* heap, const void* object) {
  if (heap == nullptr && !mesh::Owns(object)) return false;
  return mesh::HeapOf(object) == reinterpret_cast<const mesh::ProgramHeap*>(heap);
}

MESH_EXPORT mesh_heap_t* mesh_heap_set_default(mesh_heap_t* heap) {
  return Handle(mesh::SetDefaultHeap(Inner(heap)));
}

MESH_EXPORT mesh_heap_t* mesh_heap_get_default() { return Handle(mesh::DefaultHeap()); }

MESH_EXPORT int mesh_heap_visit_blocks(mesh_heap_t* heap, mesh_visit_block_fun* visitor,
                                       void* argument) {
  if (heap == nullptr || visitor == nullptr) return EINVAL;
  int saved = errno;
  Visit visit = {heap, visitor, argument};
  int error = mesh::VisitHeap(Inner(heap), CallVisitor, &visit);
  errno = saved;
  return error;
}
