// The functions of mesh/mesh.h.
//
// Room: libmesh. Thread rule: any thread, not inside signal handlers.
#include <cerrno>

#include "src/libmesh/export.h"
#include "src/libmesh/mesh/mesh.h"
#include "src/runtime/heap.h"

namespace {

size_t Run(size_t (*command)(void* context)) {
  int saved = errno;
  size_t bytes = command(mesh::ProcessControl().context);
  errno = saved;
  return bytes;
}

}  // namespace

MESH_EXPORT int mesh_mallctl(const char* name, void* oldp, size_t* oldlenp, void* newp,
                             size_t newlen) {
  int saved = errno;
  int error = mesh::Mallctl(mesh::ProcessControl(), name, oldp, oldlenp, newp, newlen);
  errno = saved;
  return error;
}

MESH_EXPORT size_t mesh_compact() { return Run(mesh::ProcessControl().compact); }

MESH_EXPORT size_t mesh_scavenge() { return Run(mesh::ProcessControl().scavenge); }

MESH_EXPORT size_t mesh_usable_size(const void* object) { return mesh::UsableSize(object); }

MESH_EXPORT size_t mesh_good_size(size_t size) { return mesh::GoodSize(size); }

MESH_EXPORT int mesh_in_bounds(const void* address) { return mesh::Owns(address) ? 1 : 0; }

MESH_EXPORT const char* mesh_version() { return MESH_VERSION_STRING; }
