/* Mesh's own functions, for programs that link with it (-lmesh) or find it preloaded.
 *
 * malloc, free, operator new and their relatives need no header: Mesh takes their place. What is
 * here reads and steers the allocator. All functions may be called from any thread at any time, but
 * not from a signal handler. libmesh(7) lists the keys and the environment variables.
 */
#ifndef MESH_MESH_H_
#define MESH_MESH_H_

#include <stddef.h>

#define MESH_VERSION_MAJOR 0
#define MESH_VERSION_MINOR 1
#define MESH_VERSION_PATCH 0
#define MESH_VERSION_STRING "0.1.0"

#ifdef __cplusplus
extern "C" {
#endif

/* Reads a value, writes one, or runs a command, as mallctl(3) of jemalloc does.
 *
 *   size_t live, size = sizeof(live);
 *   mesh_mallctl("stats.allocated", &live, &size, NULL, 0);
 *   mesh_mallctl("mesh.compact", NULL, NULL, NULL, 0);
 *
 * oldp, oldlenp: where the old value goes and the room there in bytes, or NULL. newp, newlen: the
 * new value, or NULL and 0. Returns 0, or an errno value, and then has changed nothing: ENOENT for
 * an unknown name, EINVAL for a size that does not fit the key's type or a value out of range,
 * EPERM for a key that cannot be written. errno itself stays as it was. */
int mesh_mallctl(const char* name, void* oldp, size_t* oldlenp, void* newp, size_t newlen);

/* Meshes all spans that can be meshed and gives free pages back. Returns the bytes given back. */
size_t mesh_compact(void);

/* Gives free pages back without meshing. Returns the bytes given back. */
size_t mesh_scavenge(void);

/* Bytes that may be used at an object, as malloc_usable_size(3); 0 for NULL and for a pointer that
 * is not Mesh's. */
size_t mesh_usable_size(const void* object);

/* Bytes that malloc(size) would give: never less than size; 0 if there is no such object. */
size_t mesh_good_size(size_t size);

/* 1 if the address lies in Mesh's memory, else 0. */
int mesh_in_bounds(const void* address);

/* "major.minor.patch" of the library that runs, where MESH_VERSION_STRING is that of this header.
 */
const char* mesh_version(void);

#ifdef __cplusplus
}
#endif

#endif /* MESH_MESH_H_ */
