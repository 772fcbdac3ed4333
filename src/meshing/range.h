// Range: a piece of address space.
//
// Room: meshing.
#pragma once

#include <cstddef>
#include <cstdint>

namespace mesh {

struct Range {
  uintptr_t address = 0;
  size_t length = 0;  // bytes

  uintptr_t end() const { return address + length; }
  bool Intersects(uintptr_t low, uintptr_t high) const {
    return length != 0 && address < high && low < end();
  }
};

}  // namespace mesh
