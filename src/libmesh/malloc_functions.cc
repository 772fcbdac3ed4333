// The malloc family under its exported names. The rules are in malloc_api.h.
//
// Room: libmesh. Thread rule: any thread, at any time of the process's life.
#include <malloc.h>

#include <cstdlib>
#include <cstring>

#include "src/libmesh/export.h"
#include "src/libmesh/file_buffer.h"
#include "src/libmesh/process_heap.h"
#include "src/sizeclass/size_class.h"

using mesh::ProcessMalloc;

namespace {

static_assert(mesh::kFileBufferUnit % mesh::kPinnedAlignment == 0);

// What TryMallocQuickly() has no slot for, sizes that a stream's buffer may have among it.
MESH_NOINLINE void* AllocateSlowly(size_t size, const void* caller) {
  if (mesh::ThreadLocalHeap::IsQuick(size)) return ProcessMalloc::MallocFresh(size);
  if (mesh::IsFileBuffer(size, caller)) {
    return ProcessMalloc::Memalign(mesh::kPinnedAlignment, size);
  }
  return ProcessMalloc::Malloc(size);
}

}  // namespace

MESH_EXPORT void* malloc(size_t size) noexcept {
  void* object = mesh::TryMallocQuickly(size);
  return MESH_LIKELY(object != nullptr) ? object
                                        : AllocateSlowly(size, __builtin_return_address(0));
}

MESH_EXPORT void free(void* object) noexcept { ProcessMalloc::Free(object); }

MESH_EXPORT void* calloc(size_t count, size_t size) noexcept {
  return ProcessMalloc::Calloc(count, size);
}

MESH_EXPORT void* realloc(void* object, size_t size) noexcept {
  return ProcessMalloc::Realloc(object, size);
}

MESH_EXPORT void* reallocarray(void* object, size_t count, size_t size) noexcept {
  return ProcessMalloc::Reallocarray(object, count, size);
}

MESH_EXPORT void* reallocf(void* object, size_t size) noexcept {
  return ProcessMalloc::Reallocf(object, size);
}

MESH_EXPORT void* memalign(size_t alignment, size_t size) noexcept {
  return ProcessMalloc::Memalign(alignment, size);
}

MESH_EXPORT int posix_memalign(void** result, size_t alignment, size_t size) noexcept {
  return ProcessMalloc::PosixMemalign(result, alignment, size);
}

MESH_EXPORT void* aligned_alloc(size_t alignment, size_t size) noexcept {
  return ProcessMalloc::AlignedAlloc(alignment, size);
}

MESH_EXPORT void* valloc(size_t size) noexcept { return ProcessMalloc::Valloc(size); }

MESH_EXPORT void* pvalloc(size_t size) noexcept { return ProcessMalloc::Pvalloc(size); }

MESH_EXPORT size_t malloc_usable_size(void* object) noexcept {
  return ProcessMalloc::UsableSize(object);
}

// The sizes of C23 are promises of the caller, which hardened heaps check.
MESH_EXPORT void free_sized(void* object, size_t size) noexcept {
  mesh::FastFreeSized(object, size, 0);
}

MESH_EXPORT void free_aligned_sized(void* object, size_t alignment, size_t size) noexcept {
  mesh::FastFreeSized(object, size, alignment);
}

MESH_EXPORT char* strdup(const char* text) noexcept { return ProcessMalloc::Strdup(text); }

MESH_EXPORT char* strndup(const char* text, size_t most) noexcept {
  return ProcessMalloc::Strndup(text, most);
}

MESH_EXPORT void cfree(void* object) noexcept { ProcessMalloc::Free(object); }

// glibc's own names, which old programs and other wrappers of malloc call past the public ones.
MESH_EXPORT void* __libc_malloc(size_t size) noexcept { return ProcessMalloc::Malloc(size); }

MESH_EXPORT void __libc_free(void* object) noexcept { ProcessMalloc::Free(object); }

MESH_EXPORT void* __libc_calloc(size_t count, size_t size) noexcept {
  return ProcessMalloc::Calloc(count, size);
}

MESH_EXPORT void* __libc_realloc(void* object, size_t size) noexcept {
  return ProcessMalloc::Realloc(object, size);
}

MESH_EXPORT void* __libc_memalign(size_t alignment, size_t size) noexcept {
  return ProcessMalloc::Memalign(alignment, size);
}

MESH_EXPORT void* __libc_valloc(size_t size) noexcept { return ProcessMalloc::Valloc(size); }

MESH_EXPORT void* __libc_pvalloc(size_t size) noexcept { return ProcessMalloc::Pvalloc(size); }
