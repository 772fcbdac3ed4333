// SpareMemory: memory that is set aside before pages are made read-only, to take their place if the
// kernel will not make them writable again.
//
// It may refuse that for good. Pages that are read-only do not count against RLIMIT_DATA, and
// another thread may have taken up what they left by the time they shall count again. The spare
// memory has been counted before: a copy of the pages is moved to their addresses, by a call that
// asks for nothing new.
// Room: meshing; barrier.h alone uses it. Thread rule: the mesh lock. Allocates from the kernel.
#pragma once

#include <cstddef>
#include <cstdint>

#include "src/meshing/range.h"

namespace mesh {

class SpareMemory {
 public:
  constexpr SpareMemory() = default;
  SpareMemory(const SpareMemory&) = delete;
  SpareMemory& operator=(const SpareMemory&) = delete;

  // Sets `length` bytes aside: addresses and a promise of memory, no pages yet. False: refused.
  bool Reserve(size_t length);

  // Puts a copy of the range, which is private memory, in its place: writable again, with the same
  // contents. Nobody can store to the range meanwhile: false, and it is as it was, unless it could
  // be made read-only as a whole, or when the copy could not be moved there, or nothing is left.
  bool Replace(Range range);

  // Gives back what is left.
  void Drop();

 private:
  uintptr_t address_ = 0;
  size_t length_ = 0;
  size_t used_ = 0;
};

}  // namespace mesh
