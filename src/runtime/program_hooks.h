// Functions that the program has registered (mesh/mesh.h, "Hooks"), and when they are called.
//
// Room: runtime. Thread rule: any thread; a hook is called without a lock of the heap held, and not
// from within itself in the same thread. One word tells whether there is anything to do.
//
// [PH1] A thread that ends the program (base/check.h) may hold any lock. While its hooks run, what
//       it allocates comes straight from the kernel, and what it frees is left where it is.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "src/control/text_sink.h"

namespace mesh {

using DeferredFreeHook = void(bool force, uint64_t heartbeat, void* argument);
using OutputHook = void(const char* text, void* argument);
using ErrorHook = void(int error, void* argument);
using OutOfMemoryHook = bool(size_t size, void* argument);

// Null takes one away.
void SetDeferredFree(DeferredFreeHook* function, void* argument);
void SetOutput(OutputHook* function, void* argument);
void SetErrorHook(ErrorHook* function, void* argument);
void SetOutOfMemory(OutOfMemoryHook* function, void* argument);

// Tells of an error that a call returns.
void NoteError(int error);

// The time to free what waits has come, if the program has anything waiting; `force`: all of it.
void RunDeferredFree(bool force);

// Where reports go: to the program's hook, or to the descriptor.
TextSink OutputSink(const int* descriptor);

// Around fork(2).
void LockProgramHooks();
void UnlockProgramHooks();

// ---- For the slow paths ----

// What is there to do on a slow path: bits of kHasDeferredFree and kIsEnding.
inline constexpr uint32_t kHasDeferredFree = 1;
inline constexpr uint32_t kIsEnding = 2;  // a thread of the program ends it
extern std::atomic<uint32_t> slow_path_news;

inline bool HasSlowPathNews() {
  // order: relaxed; who sees it late is called the next time.
  return __builtin_expect(slow_path_news.load(std::memory_order_relaxed) != 0, 0);
}

// There is no memory for `size` bytes. Returns: whether to try again, as the program's hook says;
// if not, its error hook has been told.
bool AskForMemory(size_t size);

// [PH1]: whether the calling thread is that one, and what serves it.
bool IsEnding();
void* AllocateWhileEnding(size_t size, size_t alignment);
void* ReallocWhileEnding(void* object, size_t size);

}  // namespace mesh
