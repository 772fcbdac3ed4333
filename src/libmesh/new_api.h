// NewApi: what operator new does beyond malloc: it asks the new-handler, and throws.
//
// Room: libmesh. Thread rule: that of the heap. Heap: as in MallocApi. Handlers: static functions
//   NewHandler Current();  the program's handler, or null
//   void ThrowBadAlloc();  does not return; throws where there is a C++ library, else aborts
#pragma once

#include <cstddef>

#include "src/base/check.h"

namespace mesh {

using NewHandler = void (*)();

template <typename Heap, typename Handlers>
class NewApi {
 public:
  static MESH_ALWAYS_INLINE void* New(size_t size) {
    void* object = Heap::TryMalloc(size);
    return MESH_LIKELY(object != nullptr) ? object : NewFresh(size);
  }

  // `alignment`: a power of two.
  static MESH_ALWAYS_INLINE void* NewAligned(size_t size, size_t alignment) {
    void* object = Heap::AlignedAlloc(alignment, size);
    return MESH_LIKELY(object != nullptr) ? object : NewSlow(alignment, size);
  }

  static MESH_NOINLINE void* NewFresh(size_t size) {
    void* object = Heap::Malloc(size);
    return MESH_LIKELY(object != nullptr) ? object : NewSlow(0, size);
  }

  // The loop of [new.delete.single]: as long as there is a handler, it may free something, put
  // another in its place, or throw.
  // Args:   alignment: 0 for the ordinary one.
  // Throws: std::bad_alloc, and whatever the handler does.
  static MESH_NOINLINE void* NewSlow(size_t alignment, size_t size) {
    while (true) {
      NewHandler handler = Handlers::Current();
      if (handler == nullptr) Handlers::ThrowBadAlloc();
      handler();
      void* object = alignment == 0 ? Heap::Malloc(size) : Heap::AlignedAlloc(alignment, size);
      if (object != nullptr) return object;
    }
  }
};

}  // namespace mesh
