// operator new and delete, in all forms of C++17.
//
// The library must not need libstdc++, so what this file takes from there is weak: in a program
// with libstdc++ the names are bound, in a C program they are null and nobody throws. This is the
// one file that is compiled with exceptions, because a nothrow form has to catch what the
// new-handler throws; the frames of the throwing forms let it pass.
// Room: libmesh. Thread rule: any thread.
#include <dlfcn.h>

#include <cstddef>
#include <new>

#include "src/base/check.h"
#include "src/libmesh/new_api.h"
#include "src/libmesh/process_heap.h"

#define MESH_EXPORT_NEW __attribute__((visibility("default")))

// What the compiler itself refers to for a catch clause.
asm(".weak __gxx_personality_v0");
asm(".weak __cxa_begin_catch");
asm(".weak __cxa_end_catch");

// Weak too: in a fully static program there is no loader to ask.
#pragma weak dlopen
#pragma weak dlsym

extern "C" {
__attribute__((weak)) mesh::NewHandler MeshGetNewHandler() asm("_ZSt15get_new_handlerv");
__attribute__((weak)) void MeshThrowBadAlloc() asm("_ZSt17__throw_bad_allocv");
}

namespace mesh {
namespace {

// A name of a libstdc++ that was loaded after us, and locally: a C program's C++ plug-in.
template <typename Function>
Function* FindInLoadedLibrary(const char* name) {
  if (&dlopen == nullptr || &dlsym == nullptr) return nullptr;
  void* library = dlopen("libstdc++.so.6", RTLD_LAZY | RTLD_NOLOAD);
  return library != nullptr ? reinterpret_cast<Function*>(dlsym(library, name)) : nullptr;
}

struct LibraryHandlers {
  static NewHandler Current() {
    auto* get = MeshGetNewHandler;
    if (get == nullptr) get = FindInLoadedLibrary<NewHandler()>("_ZSt15get_new_handlerv");
    return get != nullptr ? get() : nullptr;
  }

  [[noreturn]] static void ThrowBadAlloc() {
    auto* raise = MeshThrowBadAlloc;
    if (raise == nullptr) raise = FindInLoadedLibrary<void()>("_ZSt17__throw_bad_allocv");
    if (raise != nullptr) raise();
    Fatal("out of memory in operator new, and no C++ library to throw std::bad_alloc");
  }
};

using New = NewApi<ProcessHeap, LibraryHandlers>;

// Of the forms that name none.
constexpr size_t kNewAlignment = __STDCPP_DEFAULT_NEW_ALIGNMENT__;

size_t Bytes(std::align_val_t alignment) { return static_cast<size_t>(alignment); }

void* NewOrNull(size_t size) noexcept {
  void* object = Malloc(size);
  if (MESH_LIKELY(object != nullptr) || LibraryHandlers::Current() == nullptr) return object;
  try {
    return New::NewSlow(0, size);
  } catch (...) {
    return nullptr;
  }
}

void* NewAlignedOrNull(size_t size, size_t alignment) noexcept {
  void* object = AlignedAlloc(alignment, size);
  if (MESH_LIKELY(object != nullptr) || LibraryHandlers::Current() == nullptr) return object;
  try {
    return New::NewSlow(alignment, size);
  } catch (...) {
    return nullptr;
  }
}

}  // namespace
}  // namespace mesh

using mesh::New;

MESH_EXPORT_NEW void* operator new(size_t size) { return New::New(size); }
MESH_EXPORT_NEW void* operator new[](size_t size) { return New::New(size); }
MESH_EXPORT_NEW void* operator new(size_t size, const std::nothrow_t&) noexcept {
  return mesh::NewOrNull(size);
}
MESH_EXPORT_NEW void* operator new[](size_t size, const std::nothrow_t&) noexcept {
  return mesh::NewOrNull(size);
}
MESH_EXPORT_NEW void* operator new(size_t size, std::align_val_t alignment) {
  return New::NewAligned(size, mesh::Bytes(alignment));
}
MESH_EXPORT_NEW void* operator new[](size_t size, std::align_val_t alignment) {
  return New::NewAligned(size, mesh::Bytes(alignment));
}
MESH_EXPORT_NEW void* operator new(size_t size, std::align_val_t alignment,
                                   const std::nothrow_t&) noexcept {
  return mesh::NewAlignedOrNull(size, mesh::Bytes(alignment));
}
MESH_EXPORT_NEW void* operator new[](size_t size, std::align_val_t alignment,
                                     const std::nothrow_t&) noexcept {
  return mesh::NewAlignedOrNull(size, mesh::Bytes(alignment));
}

// Size and alignment of delete are promises of the compiler, which hardened heaps check.
MESH_EXPORT_NEW void operator delete(void* object) noexcept { mesh::FastFree(object); }
MESH_EXPORT_NEW void operator delete[](void* object) noexcept { mesh::FastFree(object); }
MESH_EXPORT_NEW void operator delete(void* object, size_t size) noexcept {
  mesh::FastFreeSized(object, size, mesh::kNewAlignment);
}
MESH_EXPORT_NEW void operator delete[](void* object, size_t size) noexcept {
  mesh::FastFreeSized(object, size, mesh::kNewAlignment);
}
MESH_EXPORT_NEW void operator delete(void* object, const std::nothrow_t&) noexcept {
  mesh::FastFree(object);
}
MESH_EXPORT_NEW void operator delete[](void* object, const std::nothrow_t&) noexcept {
  mesh::FastFree(object);
}
MESH_EXPORT_NEW void operator delete(void* object, std::align_val_t alignment) noexcept {
  mesh::FastFreeSized(object, mesh::kAnySize, mesh::Bytes(alignment));
}
MESH_EXPORT_NEW void operator delete[](void* object, std::align_val_t alignment) noexcept {
  mesh::FastFreeSized(object, mesh::kAnySize, mesh::Bytes(alignment));
}
MESH_EXPORT_NEW void operator delete(void* object, size_t size,
                                     std::align_val_t alignment) noexcept {
  mesh::FastFreeSized(object, size, mesh::Bytes(alignment));
}
MESH_EXPORT_NEW void operator delete[](void* object, size_t size,
                                       std::align_val_t alignment) noexcept {
  mesh::FastFreeSized(object, size, mesh::Bytes(alignment));
}
MESH_EXPORT_NEW void operator delete(void* object, std::align_val_t alignment,
                                     const std::nothrow_t&) noexcept {
  mesh::FastFreeSized(object, mesh::kAnySize, mesh::Bytes(alignment));
}
MESH_EXPORT_NEW void operator delete[](void* object, std::align_val_t alignment,
                                       const std::nothrow_t&) noexcept {
  mesh::FastFreeSized(object, mesh::kAnySize, mesh::Bytes(alignment));
}
