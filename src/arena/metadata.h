// Metadata memory: for what lives as long as the process (segments, thread heaps, scratch tables).
//
// A bump allocator over anonymous mappings apart from all segments. Nothing is given back; whoever
// is done with a piece keeps it in a list of its own and uses it again.
// Room: arena. Locks: kMetadata, inside. Any thread.
#pragma once

#include <cstddef>

namespace mesh {

// Zeroed memory, aligned to 64 bytes, or null when the kernel refuses.
void* AllocateMetadata(size_t bytes);

// Bytes taken from the kernel for metadata so far.
size_t MetadataBytes();

// Around fork, in lock order.
void LockMetadata();
void UnlockMetadata();

}  // namespace mesh
