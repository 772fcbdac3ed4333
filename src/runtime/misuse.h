// What free and realloc do with a pointer that is no object of ours.
//
// A pointer of another allocator, or from before start-up, is left alone: such programs work, and
// it is never taken for ours. One that no allocator can have handed out ends the program in a line,
// or by the fault of reading there.
// Room: runtime. Thread rule: any thread.
#pragma once

#include <cstdint>

namespace mesh {

// `object` is not null, and its page holds no object of ours. Ends the program, or returns: the
// pointer is another allocator's.
void JudgeForeign(const void* object);

// Ends the program unless `object`, whose page has an entry of a size class, is the start of a
// slot.
void RequireSlot(const void* object);

}  // namespace mesh
