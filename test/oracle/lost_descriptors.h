// LoseDescriptors: does as a daemon does that closes every descriptor, to those of the heap alone.
#pragma once

#include <unistd.h>

#include "src/global/global_heap.h"

namespace mesh {

inline void LoseDescriptors(GlobalHeap& global) {
  // Mesh keeps below 1024, what every process may have.
  constexpr unsigned int kMost = 1024;
  for (unsigned int number = 0; number < kMost; number++) {
    if (!global.barrier().OwnsDescriptorAmong(number, number) &&
        !global.backing().OwnsDescriptorAmong(number, number)) {
      continue;
    }
    global.GiveUpDescriptors(number, number);
    close(static_cast<int>(number));
  }
}

}  // namespace mesh
