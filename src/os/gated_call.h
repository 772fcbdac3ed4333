// GatedCall: one system call, past the fault gate, with its answer as a Result.
//
// Room: os, for its .cc files and the barrier's signal handler. Thread rule: any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "src/os/fault_injection.h"
#include "src/os/raw_syscall.h"
#include "src/os/result.h"

namespace mesh::os {

// A system call's argument as the register holds it.
template <typename T>
long ToArgument(T value) {
  if constexpr (std::is_null_pointer_v<T>) {
    return 0;
  } else if constexpr (std::is_pointer_v<T>) {
    return reinterpret_cast<long>(value);
  } else {
    return static_cast<long>(value);
  }
}

// Makes system call `number` unless a test refuses it as a `call`.
template <typename... Args>
Result<long> GatedCall(Call call, long number, Args... args) {
  if (int error = InjectedFault(call); error != 0) return {-1, error};
  long result = RawSyscall(number, ToArgument(args)...);
  if (IsRawError(result)) return {-1, static_cast<int>(-result)};
  return {result, 0};
}

// The same for calls whose answer is only "done".
template <typename... Args>
Status GatedStatus(Call call, long number, Args... args) {
  return {GatedCall(call, number, args...).error};
}

}  // namespace mesh::os
