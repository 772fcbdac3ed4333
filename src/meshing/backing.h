// Backing: the shared memory that meshed spans point at, and the window that it is written through.
//
//   window  | chunk 0 (64 MiB) | chunk 1 | ...        one mapping each, never handed to the program
//   page      0 1 2 3 ...        16384 ...            a BackingPage is an index over all chunks
//
// A chunk is a part of a memory file, or shared anonymous memory where no file is to be had. Spans
// are made aliases of backing pages by mremap of the window (os::Alias), which needs no descriptor;
// the file's descriptor serves fork alone, and is checked before each use.
// Room: meshing; above miniheap, os. Locks: kBacking, inside.
//
// [B1] A page that is handed out belongs to one mesh group, and is written through the window only
//      while the group's compactor holds the size class's lock.
// [B2] Frozen pages are never written or punched: a fork's child may read them.
#pragma once

#include <atomic>
#include <cstdint>

#include "src/base/mutex.h"
#include "src/base/units.h"
#include "src/miniheap/mini_heap.h"
#include "src/os/file.h"

namespace mesh {

class Backing {
 public:
  constexpr Backing() = default;

  // Takes `pages` neighbouring pages, zero or stale, mapped in the window and backed by memory (a
  // write through the window cannot fail). kNoBackingPage when the kernel refuses.
  BackingPage Allocate(PageCount pages);
  // Gives them back to the system. No span shows them any more.
  void Free(BackingPage first, PageCount pages);

  // Where the window shows the page.
  uintptr_t AddressOf(BackingPage page) const {
    return chunks_[page / kChunkPages].address + (uintptr_t{page % kChunkPages} << kPageShift);
  }

  // Forgets that the window has touched [first, last]: the memory stays, RSS falls.
  void DropWindow(BackingPage first, BackingPage last);

  // fork(2), prepare: replaces the alias at `address` by a private, copy-on-write view of the same
  // pages, so that neither side sees what the other writes from now on. With a descriptor that costs
  // one call; without, the pages are copied.
  // Returns: the frozen generation the span belongs to, for DropFrozen(), in *generation;
  //          kNoBackingPage when they were copied. false: the kernel refused, nothing has changed.
  bool MakePrivate(uintptr_t address, BackingPage first, PageCount pages, uint32_t* generation);
  // After all aliases are private: lets go of window and file. Their pages live on as long as frozen
  // spans show them. The next Allocate() starts anew.
  void Retire();
  // One frozen span of the generation shows other memory now.
  void DropFrozen(uint32_t generation);

  // Whether the memory file's descriptor is one of those numbers. Any thread, without a lock.
  bool OwnsDescriptorAmong(unsigned int first, unsigned int last) const {
    // order: relaxed; a number, publishes nothing.
    int descriptor = descriptor_.load(std::memory_order_relaxed);
    return descriptor >= 0 && static_cast<unsigned int>(descriptor) >= first &&
           static_cast<unsigned int>(descriptor) <= last;
  }
  // Closes the memory file: its number is wanted by the program. What is meshed stays meshed.
  void GiveUpDescriptor();

  size_t bytes_in_use();         // pages handed out
  size_t frozen_bytes();         // at most; pages of retired backings that spans still show
  uint32_t frozen_spans();

  Mutex& lock() { return lock_; }

 private:
  static constexpr PageCount kChunkPages = 16384;  // 64 MiB of address space
  static constexpr uint32_t kMaxChunks = 4096;     // 256 GiB of meshed memory
  static constexpr PageCount kMaxRun = kMaxMeshablePages;
  static constexpr uint32_t kMaxGenerations = 64;

  struct Chunk {
    uintptr_t address;
    bool in_file;
    size_t file_offset;
    BackingPage* next_free;  // links of the free lists, one a page
  };
  struct Generation {
    uint32_t spans = 0;
    uint32_t pages = 0;
  };

  BackingPage TakeLocked(PageCount pages) REQUIRES(lock_);
  bool AddChunkLocked() REQUIRES(lock_);
  os::Result<uintptr_t> MapInFileLocked(size_t* offset) REQUIRES(lock_);
  void ForgetFileLocked() REQUIRES(lock_);
  bool CopyBack(uintptr_t address, uintptr_t window, size_t length);

  Mutex lock_{LockRank::kBacking};
  os::MemoryFile file_ GUARDED_BY(lock_);
  std::atomic<int> descriptor_{-1};
  size_t file_size_ GUARDED_BY(lock_) = 0;
  Chunk chunks_[kMaxChunks] = {};
  uint32_t chunk_count_ GUARDED_BY(lock_) = 0;
  BackingPage next_fresh_ GUARDED_BY(lock_) = 0;
  BackingPage free_[kMaxRun + 1] GUARDED_BY(lock_) = {};  // index + 1; 0 ends the list
  PageCount in_use_ GUARDED_BY(lock_) = 0;
  Generation generations_[kMaxGenerations] GUARDED_BY(lock_);
  uint32_t current_generation_ GUARDED_BY(lock_) = kMaxGenerations;
};

}  // namespace mesh
