// futex(2), private flavour, by raw system call: errno stays as it is.
//
// Lives in base, below os, because Mutex needs it; the only system call outside os.
// Room: base. Thread rule: any thread.
#pragma once

#include <atomic>
#include <cstdint>

namespace mesh {

// Sleeps while `word` holds `expected`; may return early for any reason.
void FutexWait(std::atomic<uint32_t>& word, uint32_t expected);

// The same for `ns` at most.
void FutexWaitFor(std::atomic<uint32_t>& word, uint32_t expected, uint64_t ns);

// Wakes at most `count` sleepers.
void FutexWake(std::atomic<uint32_t>& word, int count);

}  // namespace mesh
