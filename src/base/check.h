// Checks that end the program, and the one way to end it.
//
// MESH_CHECK stays in every build: for what must never happen and would corrupt the heap.
// MESH_DCHECK is there in debug builds (MESH_DEBUG=1) alone. Neither allocates. A refusal of the
// kernel is never a reason for either: those are returned to the caller.
// Room: base. Thread rule: any thread, also inside a signal handler.
#pragma once

namespace mesh {

// Writes "mesh: <message>\n" to stderr, or hands it to the handler, and aborts. Allocates nothing,
// takes no lock.
[[noreturn]] void Fatal(const char* message);

// As above, with the address in question behind the message.
[[noreturn]] void FatalAt(const char* message, const void* address);

// Is called instead of writing, with the whole line; any lock may be held. Null: none.
using ComplaintHandler = void(const char* message, const char* line);
void SetComplaintHandler(ComplaintHandler* handler);

}  // namespace mesh

#define MESH_STRINGIFY_INNER(x) #x
#define MESH_STRINGIFY(x) MESH_STRINGIFY_INNER(x)

#define MESH_CHECK(condition)                        \
  (__builtin_expect(static_cast<bool>(condition), 1) \
       ? static_cast<void>(0)                        \
       : ::mesh::Fatal("check failed at " __FILE__ ":" MESH_STRINGIFY(__LINE__) ": " #condition))

#if MESH_DEBUG
#define MESH_DCHECK(condition) MESH_CHECK(condition)
#else
#define MESH_DCHECK(condition) static_cast<void>(sizeof(static_cast<bool>(condition)))
#endif

#define MESH_LIKELY(x) __builtin_expect(static_cast<bool>(x), 1)
#define MESH_UNLIKELY(x) __builtin_expect(static_cast<bool>(x), 0)
// The line is about to be written to.
#define MESH_PREFETCH_TO_WRITE(pointer) __builtin_prefetch(pointer, 1)
#define MESH_NOINLINE __attribute__((noinline))
#define MESH_ALWAYS_INLINE inline __attribute__((always_inline))
