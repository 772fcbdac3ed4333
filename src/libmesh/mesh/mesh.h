/* Mesh's own functions, for programs that link with it (-lmesh) or find it preloaded.
 *
 * malloc, free, operator new and their relatives need no header: Mesh takes their place. What is
 * here does more than they can, reads the allocator and steers it. libmesh(7) lists the keys of
 * mesh_mallctl and the environment variables; docs/api.md is made from this header.
 *
 * Unless a function says otherwise:
 *   threads  any thread may call it at any time, but not a signal handler.
 *   sizes    are in bytes.
 *   objects  are what this header's functions and the malloc family return: each may be given to
 *            any of them, and to free(), realloc() and malloc_usable_size(). They are aligned to 16
 *            bytes, and NULL is no object.
 *   errors   of a function that allocates: NULL, and errno is ENOMEM (there is no memory, or the
 *            size is above PTRDIFF_MAX) or EINVAL (an alignment that is no power of two). Objects
 *            that were handed in are as they were. A call that succeeds leaves errno alone.
 */
#ifndef MESH_MESH_H_
#define MESH_MESH_H_

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MESH_VERSION_MAJOR 0
#define MESH_VERSION_MINOR 1
#define MESH_VERSION_PATCH 0
#define MESH_VERSION_STRING "0.1.0"

#if defined(__GNUC__)
#define MESH_RETURNS_OBJECT __attribute__((__malloc__, __warn_unused_result__))
#define MESH_RETURNS_RESIZED __attribute__((__warn_unused_result__))
#else
#define MESH_RETURNS_OBJECT
#define MESH_RETURNS_RESIZED
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Objects ---- */

/* An object of at least `size` bytes; 0 counts as 1. Its bytes are anything. */
MESH_RETURNS_OBJECT void* mesh_malloc(size_t size);

/* As mesh_malloc, and all bytes that may be used (mesh_usable_size) are zero. */
MESH_RETURNS_OBJECT void* mesh_zalloc(size_t size);

/* As mesh_zalloc, of `count` times `size` bytes. ENOMEM also where that overflows. */
MESH_RETURNS_OBJECT void* mesh_calloc(size_t count, size_t size);

/* Makes an object `size` bytes long, at its place or at another, with what it held up to the
 * smaller of both sizes. NULL as `object`: mesh_malloc(size). A size of 0 frees the object and
 * returns NULL, as glibc does. */
MESH_RETURNS_RESIZED void* mesh_realloc(void* object, size_t size);

/* As mesh_realloc, of `count` times `size` bytes. ENOMEM also where that overflows. */
MESH_RETURNS_RESIZED void* mesh_reallocarray(void* object, size_t count, size_t size);

/* As mesh_realloc, but on an error the object is freed. */
MESH_RETURNS_RESIZED void* mesh_reallocf(void* object, size_t size);

/* As mesh_reallocarray, for an object of which `old_count` times `size` bytes are in use: those
 * behind them are zero afterwards, as far as the new size goes. EINVAL where the old size overflows
 * or is more than the object has. */
MESH_RETURNS_RESIZED void* mesh_recallocarray(void* object, size_t old_count, size_t count,
                                              size_t size);

/* Makes an object `size` bytes long at its place. Returns `object`, or NULL when that cannot be
 * done, for NULL and for what is no object; errno stays as it was, and the object too. An object
 * has mesh_usable_size() bytes already; large ones (more than 32 KiB) can grow if the pages behind
 * them are free. */
void* mesh_expand(void* object, size_t size);

/* Frees an object, as free() does; NULL is let pass. errno stays as it was. */
void mesh_free(void* object);

/* A copy of a string; of at most `most` of its bytes, with a zero behind them. */
MESH_RETURNS_OBJECT char* mesh_strdup(const char* text);
MESH_RETURNS_OBJECT char* mesh_strndup(const char* text, size_t most);

/* ---- Aligned objects ---- */

/* As mesh_malloc, at a multiple of `alignment` bytes, a power of two. */
MESH_RETURNS_OBJECT void* mesh_malloc_aligned(size_t size, size_t alignment);

/* As mesh_zalloc, at a multiple of `alignment` bytes, a power of two. */
MESH_RETURNS_OBJECT void* mesh_zalloc_aligned(size_t size, size_t alignment);

/* As mesh_realloc, and the object is at a multiple of `alignment` bytes, a power of two, whatever
 * it was before. */
MESH_RETURNS_RESIZED void* mesh_realloc_aligned(void* object, size_t size, size_t alignment);

/* ---- Sizes and places ---- */

/* Bytes that may be used at an object, as malloc_usable_size(3); 0 for NULL and for a pointer that
 * is not Mesh's. */
size_t mesh_usable_size(const void* object);

/* Bytes that mesh_malloc(size) would give: never less than size; 0 if there is no such object. */
size_t mesh_good_size(size_t size);

/* Whether the address lies in Mesh's memory: in an object, or beside one in its pages. */
bool mesh_is_in_heap(const void* address);

/* ---- Memory and figures ---- */

/* Gives memory back to the system, and returns how many bytes. Without `force`: pages that are
 * free. With `force`: meshes all that can be meshed first, and takes back what this thread holds
 * ready; milliseconds for a heap of 100 MB. */
size_t mesh_collect(bool force);

/* What mesh_process_info() fills in. */
typedef struct mesh_process_info {
  size_t live_bytes;     /* of objects in use, as large as they are to Mesh */
  size_t physical_bytes; /* physical memory of the process, meshed pages counted once */
  size_t
      peak_resident_bytes; /* most resident memory so far; a meshed page counts at each address */
  uint64_t minor_faults;   /* page faults without input or output, of all threads so far */
  uint64_t major_faults;   /* page faults with it */
  uint64_t user_ns;        /* processor time in the program, of all threads so far */
  uint64_t system_ns;      /* processor time in the kernel */
  uint64_t elapsed_ns;     /* since Mesh came up in this process */
} mesh_process_info_t;

/* Writes figures of the process to `*info`, of which `size` bytes are there: sizeof(*info) in the
 * caller's version of this header. Those that the system does not tell are 0.
 * Returns 0, or EINVAL for NULL and for a size that is no such structure's. Takes about 100 us. */
int mesh_process_info(mesh_process_info_t* info, size_t size);

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

/* "major.minor.patch" of the library that runs, where MESH_VERSION_STRING is that of this header.
 */
const char* mesh_version(void);

#ifdef __cplusplus
}
#endif

#endif /* MESH_MESH_H_ */
