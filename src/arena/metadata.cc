// See metadata.h.
#include "src/arena/metadata.h"

#include <cstdint>

#include "src/base/mutex.h"
#include "src/base/units.h"
#include "src/os/memory.h"

namespace mesh {
namespace {

// What is asked of the kernel at once [bytes]: a few thread heaps.
constexpr size_t kChunkSize = 256 * kKiB;

constinit Mutex lock(LockRank::kMetadata);
constinit uintptr_t next GUARDED_BY(lock) = 0;
constinit uintptr_t limit GUARDED_BY(lock) = 0;
constinit size_t total GUARDED_BY(lock) = 0;

}  // namespace

void* AllocateMetadata(size_t bytes) {
  bytes = RoundUp(bytes, 64);
  MutexLock guard(lock);
  if (bytes > limit - next) {
    size_t size = bytes > kChunkSize ? RoundUp(bytes, kPageSize) : kChunkSize;
    os::Result<uintptr_t> chunk = os::MapAnonymous(size);
    if (!chunk.ok()) return nullptr;
    total += size;
    if (size > kChunkSize) return reinterpret_cast<void*>(chunk.value);
    next = chunk.value;
    limit = next + size;
  }
  uintptr_t address = next;
  next += bytes;
  return reinterpret_cast<void*>(address);
}

size_t MetadataBytes() {
  MutexLock guard(lock);
  return total;
}

void LockMetadata() NO_THREAD_SAFETY_ANALYSIS { lock.Lock(); }
void UnlockMetadata() NO_THREAD_SAFETY_ANALYSIS { lock.Unlock(); }

}  // namespace mesh
