// IsFileBuffer: knows the buffers of stdio's streams among all that libc allocates.
//
// A stream's buffer is as long as the file system says, 512 bytes to a page and more, and libc
// reads into it past every interposed function, for streams of its own as well. So buffers that
// would be small enough to be meshed are placed where nothing is. Room: libmesh. Thread rule: any
// thread.
#pragma once

#include <cstddef>
#include <cstdint>

#include "src/base/units.h"

namespace mesh {

// The code of the function in libc that allocates them; empty when it is not known, and in the
// static library. Set once, by the loader's thread.
struct CodeRange {
  uintptr_t start = 0;
  size_t length = 0;
};
extern CodeRange file_buffer_code;

// Blocks of file systems come in multiples of this [bytes].
inline constexpr size_t kFileBufferUnit = 512;

// Args: size: what malloc was asked for. caller: where it returns to.
inline bool IsFileBuffer(size_t size, const void* caller) {
  if (__builtin_expect(size % kFileBufferUnit != 0 || size >= kPageSize, 1)) return false;
  return reinterpret_cast<uintptr_t>(caller) - file_buffer_code.start < file_buffer_code.length;
}

}  // namespace mesh
