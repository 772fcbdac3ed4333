// MallocApi: the malloc family over a heap that knows neither errno nor the rules of each name.
//
//   malloc(3) names  ->  MallocApi<Heap>: overflow, alignment, errno  ->  Heap: memory or null
//
// Errors are those of POSIX and glibc: ENOMEM with null, EINVAL for a bad alignment, and free()
// leaves errno as it was.
// Room: libmesh. Thread rule: that of the heap. Heap: static functions as in runtime/heap.h, and
// NoteError() for the errors that the heap does not know of.
#pragma once

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "src/base/check.h"
#include "src/base/units.h"

namespace mesh {

template <typename Heap>
class MallocApi {
 public:
  static MESH_ALWAYS_INLINE void* Malloc(size_t size) {
    void* object = Heap::TryMalloc(size);
    return MESH_LIKELY(object != nullptr) ? object : MallocFresh(size);
  }

  // Where TryMalloc() has none. Out of line, so that Malloc ends in a jump to it and needs no
  // frame.
  static MESH_NOINLINE void* MallocFresh(size_t size) { return OrNoMemory(Heap::Malloc(size)); }

  static MESH_ALWAYS_INLINE void Free(void* object) { Heap::Free(object); }

  static void* Calloc(size_t count, size_t size) {
    size_t bytes;
    if (__builtin_mul_overflow(count, size, &bytes)) return Fail(ENOMEM);
    return OrNoMemory(Heap::Calloc(bytes));
  }

  // As glibc: a size of 0 frees an object and returns null.
  static void* Realloc(void* object, size_t size) {
    if (object == nullptr) return Malloc(size);
    if (size == 0) {
      Heap::Free(object);
      return nullptr;
    }
    return OrNoMemory(Heap::Realloc(object, size));
  }

  static void* Reallocarray(void* object, size_t count, size_t size) {
    size_t bytes;
    if (__builtin_mul_overflow(count, size, &bytes)) return Fail(ENOMEM);
    return Realloc(object, bytes);
  }

  // Frees the object when it cannot be resized (BSD).
  static void* Reallocf(void* object, size_t size) {
    void* resized = Realloc(object, size);
    if (resized == nullptr && size != 0) Heap::Free(object);
    return resized;
  }

  // Rounds an odd alignment up to a power of two, as glibc's memalign does.
  static void* Memalign(size_t alignment, size_t size) {
    if (alignment > kLargestAlignment) return Fail(EINVAL);
    if (!IsPowerOfTwo(alignment)) alignment = NextPowerOfTwo(alignment);
    return OrNoMemory(Heap::AlignedAlloc(alignment, size));
  }

  static void* AlignedAlloc(size_t alignment, size_t size) {
    if (!IsPowerOfTwo(alignment)) return Fail(EINVAL);
    return OrNoMemory(Heap::AlignedAlloc(alignment, size));
  }

  // Returns its error and leaves errno alone; *result is written on success only.
  static int PosixMemalign(void** result, size_t alignment, size_t size) {
    if (alignment % sizeof(void*) != 0 || !IsPowerOfTwo(alignment)) {
      Heap::NoteError(EINVAL);
      return EINVAL;
    }
    void* object = Heap::AlignedAlloc(alignment, size);
    if (object == nullptr) return ENOMEM;
    *result = object;
    return 0;
  }

  static void* Valloc(size_t size) { return OrNoMemory(Heap::AlignedAlloc(kPageSize, size)); }

  static void* Pvalloc(size_t size) {
    if (size > SIZE_MAX - kPageSize) return Fail(ENOMEM);
    return Valloc(RoundUp(size, kPageSize));
  }

  static size_t UsableSize(void* object) { return Heap::UsableSize(object); }

  static char* Strdup(const char* text) { return Copy(text, strlen(text)); }

  static char* Strndup(const char* text, size_t most) { return Copy(text, strnlen(text, most)); }

 private:
  static constexpr size_t kLargestAlignment = SIZE_MAX / 2 + 1;

  static MESH_NOINLINE void* Fail(int error) {
    Heap::NoteError(error);
    errno = error;
    return nullptr;
  }

  // The heap has none.
  static MESH_NOINLINE void* NoMemory() {
    errno = ENOMEM;
    return nullptr;
  }

  static MESH_ALWAYS_INLINE void* OrNoMemory(void* object) {
    return MESH_LIKELY(object != nullptr) ? object : NoMemory();
  }

  // 1 for 0: every address will do.
  static size_t NextPowerOfTwo(size_t n) {
    size_t power = 1;
    while (power < n) power <<= 1;
    return power;
  }

  static char* Copy(const char* text, size_t length) {
    char* copy = static_cast<char*>(Malloc(length + 1));
    if (copy == nullptr) return nullptr;
    memcpy(copy, text, length);
    copy[length] = '\0';
    return copy;
  }
};

}  // namespace mesh
