// What glibc's malloc reports and takes as advice, in our terms: mallinfo(3), mallopt(3).
//
// Room: libmesh. Thread rule: pure functions.
#pragma once

#include <malloc.h>

#include "src/control/statistics.h"

namespace mesh {

// Where Mesh has no such thing as a field of mallinfo, the field is 0 (fastbins).
//   arena, fordblks, keepcost: committed bytes, those not in live objects, those of free runs that
//   could go back; hblks, hblkhd: large objects; uordblks: live bytes; ordblks: free slots.
struct mallinfo2 ToMallinfo2(const Statistics& statistics);

// The same, with figures that an int cannot hold at INT_MAX.
struct mallinfo ToMallinfo(const Statistics& statistics);

// Whether glibc knows the parameter of mallopt. Mesh has no use for any of them, and a program that
// tunes glibc must not take that for an error.
bool IsMalloptParameter(int parameter);

}  // namespace mesh
