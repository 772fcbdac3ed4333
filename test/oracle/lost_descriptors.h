// LoseDescriptors: does as a daemon does that closes every descriptor, to those of the heap alone.
// CloseAllBut: closes what refused calls have made the heap lose sight of.
#pragma once

#include <fcntl.h>
#include <unistd.h>

#include <bitset>

#include "src/global/global_heap.h"

namespace mesh {

// Mesh keeps below 1024, what every process may have.
inline constexpr unsigned int kMostDescriptors = 1024;

using DescriptorSet = std::bitset<kMostDescriptors>;

inline bool OwnsDescriptor(GlobalHeap& global, unsigned int number) {
  return global.barrier().OwnsDescriptorAmong(number, number) ||
         global.backing().OwnsDescriptorAmong(number, number);
}

inline void LoseDescriptors(GlobalHeap& global) {
  for (unsigned int number = 0; number < kMostDescriptors; number++) {
    if (!OwnsDescriptor(global, number)) continue;
    global.GiveUpDescriptors(number, number);
    close(static_cast<int>(number));
  }
}

inline DescriptorSet OpenDescriptors() {
  DescriptorSet open;
  for (unsigned int number = 0; number < kMostDescriptors; number++) {
    open[number] = fcntl(static_cast<int>(number), F_GETFD) != -1;
  }
  return open;
}

// Closes every descriptor but the heap's own and those in `kept`. A descriptor that could not be
// closed, or told from others, when it was given up stays open; a userfaultfd among such keeps the
// memory that it watches from any other.
inline void CloseAllBut(GlobalHeap& global, const DescriptorSet& kept) {
  unsigned int first = 0;
  for (unsigned int number = 0; number <= kMostDescriptors; number++) {
    bool stays = number == kMostDescriptors || kept[number] || OwnsDescriptor(global, number);
    if (!stays) continue;
    if (number > first) close_range(first, number - 1, 0);
    first = number + 1;
  }
}

}  // namespace mesh
