// LendForSyscall: what the kernel may store into during a call that came as a number.
//
// Room: libmesh. Thread rule: any thread, and inside signal handlers.
#pragma once

#include "src/libmesh/loan.h"

namespace mesh {

struct SyscallArguments {
  long a, b, c, d, e, f;
};

// Adds to `loan`. A call that is not known here lends all memory.
void LendForSyscall(long number, const SyscallArguments& arguments, Loan& loan);

}  // namespace mesh
