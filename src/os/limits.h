// What the process may take: address space and memory, as the kernel would judge a request.
//
// Room: os. Thread rule: any thread. Allocates nothing; errno stays untouched.
#pragma once

#include <cstddef>

#include "src/os/result.h"

namespace mesh::os {

// The soft limit on address space (RLIMIT_AS) [bytes]; SIZE_MAX when there is none.
Result<size_t> AddressSpaceLimit();

// Pages of memory and swap of the machine: more than that in one request is what the kernel's
// default heuristic refuses (proc(5), overcommit_memory=0). SIZE_MAX pages when it does not say.
size_t CommittablePages();

}  // namespace mesh::os
