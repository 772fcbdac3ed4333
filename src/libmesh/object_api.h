// ObjectApi: what mesh.h has beyond the malloc family, over the same heap.
//
//   mesh.h names  ->  ObjectApi<Heap>: overflow, alignment, errno  ->  Heap: memory or null
//
// Room: libmesh. Thread rule: that of the heap. Heap: as in MallocApi, and AlignedCalloc, Expand,
// GoodSize and Owns as in runtime/heap.h.
#pragma once

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "src/base/units.h"
#include "src/libmesh/malloc_api.h"

namespace mesh {

template <typename Heap>
class ObjectApi {
 public:
  using Malloc = MallocApi<Heap>;

  // All that may be used of it is zero, so that who resizes it knows what is behind `size`.
  static void* Zalloc(size_t size) {
    size_t good = Heap::GoodSize(size);
    return good == 0 ? Fail(ENOMEM) : OrNoMemory(Heap::Calloc(good));
  }

  static void* Calloc(size_t count, size_t size) {
    size_t bytes;
    if (__builtin_mul_overflow(count, size, &bytes)) return Fail(ENOMEM);
    return Zalloc(bytes);
  }

  static void* ZallocAligned(size_t size, size_t alignment) {
    if (!IsPowerOfTwo(alignment)) return Fail(EINVAL);
    return OrNoMemory(Heap::AlignedCalloc(alignment, size));
  }

  static void* ReallocAligned(void* object, size_t size, size_t alignment) {
    if (!IsPowerOfTwo(alignment)) return Fail(EINVAL);
    if (object == nullptr) return Malloc::AlignedAlloc(alignment, size);
    // What is freed, is no object, or is aligned as every object is.
    if (size == 0 || !Heap::Owns(object) || alignment <= kEveryAlignment) {
      return Malloc::Realloc(object, size);
    }
    const size_t usable = Heap::UsableSize(object);
    const bool is_aligned = reinterpret_cast<uintptr_t>(object) % alignment == 0;
    if (is_aligned && size >= usable / 2 && Heap::Expand(object, size)) return object;
    void* fresh = Malloc::AlignedAlloc(alignment, size);
    if (fresh == nullptr) return nullptr;
    memcpy(fresh, object, size < usable ? size : usable);
    Heap::Free(object);
    return fresh;
  }

  static void* Recallocarray(void* object, size_t old_count, size_t count, size_t size) {
    if (object == nullptr) return Calloc(count, size);
    size_t had;
    size_t bytes;
    if (__builtin_mul_overflow(old_count, size, &had)) return Fail(EINVAL);
    if (__builtin_mul_overflow(count, size, &bytes)) return Fail(ENOMEM);
    if (had > Heap::UsableSize(object)) return Fail(EINVAL);
    void* resized = Malloc::Realloc(object, bytes);
    if (resized != nullptr && bytes > had)
      memset(static_cast<char*>(resized) + had, 0, bytes - had);
    return resized;
  }

  static void* Expand(void* object, size_t size) {
    return object != nullptr && Heap::Expand(object, size) ? object : nullptr;
  }

 private:
  // Of every object of more than 8 bytes.
  static constexpr size_t kEveryAlignment = 16;

  static void* Fail(int error) {
    Heap::NoteError(error);
    errno = error;
    return nullptr;
  }

  static void* OrNoMemory(void* object) {
    if (object == nullptr) errno = ENOMEM;
    return object;
  }
};

}  // namespace mesh
