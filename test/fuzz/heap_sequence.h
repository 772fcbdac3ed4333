// A sequence of heap operations out of a fuzzer's bytes, played against the shadow model.
#pragma once

#include <cstddef>
#include <cstdint>

namespace mesh {

// Plays allocations, reallocations, frees and checks of all sizes and alignments, in the main heap
// and in heaps that the program makes and ends, with compaction, scavenging, folding, forks, lost
// descriptors and changes of the barrier's tier in between; ends the program when anything is not
// as the model says. Hardened (MESH_SECURE), sizes have to be exact and fresh objects cleared, and
// a child that misuses the heap has to be ended. With `refusals` the input also chooses system
// calls for the kernel to refuse: allocations may then fail, and nothing else may change.
// At the program's end the operations played are counted on stderr.
void PlayHeapSequence(const char* name, const uint8_t* data, size_t size, bool refusals);

}  // namespace mesh
