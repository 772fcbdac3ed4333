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
#define MESH_RETURNS_OBJECT __attribute__((__malloc__))
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

/* As the three above, and it is the byte at `offset` from the object's start that lies at a
 * multiple of `alignment` bytes. Unless the offset is a multiple of the alignment, EINVAL for an
 * alignment above 4096, and the object lies in spans of their own in the main heap, where any
 * address inside an object stands for it: free() takes what was returned, as always. */
MESH_RETURNS_OBJECT void* mesh_malloc_aligned_at(size_t size, size_t alignment, size_t offset);
MESH_RETURNS_OBJECT void* mesh_zalloc_aligned_at(size_t size, size_t alignment, size_t offset);
MESH_RETURNS_RESIZED void* mesh_realloc_aligned_at(void* object, size_t size, size_t alignment,
                                                   size_t offset);

/* ---- Sizes and places ---- */

/* Bytes that may be used at an object, as malloc_usable_size(3); 0 for NULL and for a pointer that
 * is not Mesh's. */
size_t mesh_usable_size(const void* object);

/* Bytes that mesh_malloc(size) gives, or more while objects of that size are being compacted: never
 * less than size; 0 if there is no such object. */
size_t mesh_good_size(size_t size);

/* Whether the address lies in address space that Mesh gives objects from, in use or not. */
bool mesh_is_in_heap(const void* address);

/* ---- First-class heaps ---- */

/* A heap of its own: objects that share no page with those of another heap, and can go at once.
 *
 * Any thread may allocate from it and free to it. Meshing works inside a heap, never across heaps.
 * What mesh_malloc() and malloc() use unless told otherwise is the main heap; in calls of this
 * header NULL stands for it where a function says so. An object of a heap is freed and resized as
 * any other, by free() too; realloc() leaves it in its heap. Its functions end the program when
 * they are given a heap that is gone. At most 65,535 heaps exist at a time. */
typedef struct mesh_heap mesh_heap_t;

/* A heap without objects: about 1 KiB, and about 1.5 KiB more for each size class that is used.
 * NULL and ENOMEM when there is no memory for one. */
mesh_heap_t* mesh_heap_new(void);

/* Ends a heap; its objects live on in the main heap. NULL is let pass. Other threads may free
 * objects of it at the same time, but not allocate from it or use it otherwise.
 * Takes time by its spans (1 to 16 pages) and its objects of more than 32 KiB, not by its objects.
 */
void mesh_heap_delete(mesh_heap_t* heap);

/* Ends a heap and all its objects, which nobody may use any more, and does not touch them. NULL is
 * let pass. No other thread may use the heap or its objects at the same time.
 * Takes time by its spans and its objects of more than 32 KiB. */
void mesh_heap_destroy(mesh_heap_t* heap);

/* As mesh_malloc, mesh_zalloc, mesh_calloc, from a heap; NULL: the main heap. */
MESH_RETURNS_OBJECT void* mesh_heap_malloc(mesh_heap_t* heap, size_t size);
MESH_RETURNS_OBJECT void* mesh_heap_zalloc(mesh_heap_t* heap, size_t size);
MESH_RETURNS_OBJECT void* mesh_heap_calloc(mesh_heap_t* heap, size_t count, size_t size);

/* As mesh_malloc_aligned and mesh_zalloc_aligned, from a heap; NULL: the main heap. */
MESH_RETURNS_OBJECT void* mesh_heap_malloc_aligned(mesh_heap_t* heap, size_t size,
                                                   size_t alignment);
MESH_RETURNS_OBJECT void* mesh_heap_zalloc_aligned(mesh_heap_t* heap, size_t size,
                                                   size_t alignment);

/* As mesh_realloc and mesh_realloc_aligned, and the result lies in `heap`, whatever heap the object
 * was in; NULL: the main heap. */
MESH_RETURNS_RESIZED void* mesh_heap_realloc(mesh_heap_t* heap, void* object, size_t size);
MESH_RETURNS_RESIZED void* mesh_heap_realloc_aligned(mesh_heap_t* heap, void* object, size_t size,
                                                     size_t alignment);

/* Meshes inside the heap alone, if `force`, and gives the system back what the heap no longer
 * needs and free pages. Returns bytes. NULL: mesh_collect(force). */
size_t mesh_heap_collect(mesh_heap_t* heap, bool force);

/* Whether an object lies in the heap; NULL: in the main heap. Any address; that of a free object
 * may give true. Of a heap that has ended: false. */
bool mesh_heap_contains(const mesh_heap_t* heap, const void* object);

/* From now on malloc() and its relatives, operator new, and what this header has without a heap
 * take memory of the calling thread from `heap`; NULL: from the main heap, as at first. It ends
 * when the heap is deleted or destroyed, by whatever thread. Returns what it was before.
 * Threads: the setting is the calling thread's alone. Each allocation then costs a lock. */
mesh_heap_t* mesh_heap_set_default(mesh_heap_t* heap);

/* The heap that the calling thread's malloc() uses; NULL: the main heap. */
mesh_heap_t* mesh_heap_get_default(void);

/* Called for an object of a heap: its address, and mesh_usable_size() of it. Returns whether to go
 * on. It may call any function of this header; it may free the object it is called for. */
typedef bool mesh_visit_block_fun(mesh_heap_t* heap, void* object, size_t usable_size,
                                  void* argument);

/* Calls `visitor` for each object of the heap once, in no order. Exact while nobody else allocates
 * from the heap or frees its objects, whatever happens in other heaps; objects that come or go
 * meanwhile may be visited or not. Returns 0 when all were visited, ECANCELED when the visitor
 * ended it, ENOMEM when there is no memory for the list of the heap's spans, EINVAL for `NULL`. */
int mesh_heap_visit_blocks(mesh_heap_t* heap, mesh_visit_block_fun* visitor, void* argument);

/* ---- Hooks ---- */

/* Hooks are of the whole process; NULL takes one away. They are called in the thread whose call led
 * to them, which holds no lock of Mesh: they may call any function of this header, malloc() and
 * free(). What would lead to the same hook again in that thread does not call it. */

/* A hook for who defers frees, as reference counting in bounded time does: called now and then
 * before an allocation that has to look for memory, so that it may free some of what waits.
 * `force`: all of it (mesh_collect(true)). `heartbeat` grows with each call, in all threads
 * together. */
typedef void mesh_deferred_free_fun(bool force, uint64_t heartbeat, void* argument);
void mesh_register_deferred_free(mesh_deferred_free_fun* function, void* argument);

/* A hook for what Mesh would write to standard error: reports (MALLOCSTATS, malloc_stats()) and
 * complaints. `text` is a piece of it that ends with a zero, not always a whole line. What is wrong
 * with options of the environment is written before any hook can be there. */
typedef void mesh_output_fun(const char* text, void* argument);
void mesh_register_output(mesh_output_fun* function, void* argument);

/* A hook for errors: ENOMEM (no memory), EINVAL (an alignment or an old size), and for complaints,
 * after which the program ends: EAGAIN (double free), EFAULT (any other). Then it may call nothing
 * of this header but what makes, resizes and frees objects, which is served apart from the heap. */
typedef void mesh_error_fun(int error, void* argument);
void mesh_register_error(mesh_error_fun* function, void* argument);

/* A hook for when there is no memory for `size` bytes: it may free something, and returns whether
 * to try again. It is asked before NULL is returned, and by operator new before the new-handler;
 * not for sizes that no system has. */
typedef bool mesh_out_of_memory_fun(size_t size, void* argument);
void mesh_register_out_of_memory(mesh_out_of_memory_fun* function, void* argument);

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
