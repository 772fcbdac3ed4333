// Result<T>: what a system call gave back, or the errno value of its refusal.
//
// Room: os. No exceptions, no thread-local errno: an error is a value that the caller holds.
#pragma once

#include <cstdint>

namespace mesh::os {

template <typename T>
struct [[nodiscard]] Result {
  T value{};
  int error = 0;  // an errno value; 0 means that `value` counts

  bool ok() const { return error == 0; }
};

template <>
struct [[nodiscard]] Result<void> {
  int error = 0;

  bool ok() const { return error == 0; }
};

using Status = Result<void>;

}  // namespace mesh::os
