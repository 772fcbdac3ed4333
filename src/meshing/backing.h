// Backing: the memory behind meshed spans, and the window that it is written through.
//
//   window  | chunk 0 (64 MiB) | chunk 1 | ...        one mapping each, never handed to the program
//   page      0 1 2 3 ...        16384 ...            a BackingPage is an index over all chunks
//
// A chunk is a part of a memory file, or shared anonymous memory where no file is to be had. Spans
// show its pages in one of two ways:
//   shared views    stores go to the backing; made by mremap, without a descriptor (os::Alias).
//                   Each must become a private view before a fork.
//   private views   copy on write: the first store to a page gives the span a page of its own
//                   again. A fork needs no preparation. For programs that are expected to fork.
// Room: meshing; above miniheap, os. Locks: kBacking, inside.
//
// [B1] A page that is handed out belongs to one mesh group, and is written through the window only
//      while the group's compactor holds the size class's lock.
// [B2] Retired chunks are never written or punched: a fork's child may read them. Their memory goes
//      with the last mapping of their file; so what is left of a file that holds more than it shows
//      moves to another (IsWasteful).
#pragma once

#include <atomic>
#include <cstdint>

#include "src/base/mutex.h"
#include "src/base/units.h"
#include "src/miniheap/mini_heap.h"
#include "src/os/file.h"
#include "src/os/process.h"
#include "src/sizeclass/size_class.h"

namespace mesh {

class Backing {
 public:
  constexpr Backing() = default;

  // How new chunks are shown; before first use.
  void set_private_views(bool private_views) { private_views_ = private_views; }
  // Whether spans may show the backing by private views: from the start, or since a fork.
  bool has_private_views() const {
    // order: relaxed; who must not miss it has the mesh lock.
    return private_views_ || was_retired_.load(std::memory_order_relaxed);
  }

  // Takes `pages` neighbouring pages, zero or stale, mapped in the window and backed by memory (a
  // write through the window cannot fail). kNoBackingPage when the kernel refuses.
  BackingPage Allocate(PageCount pages);
  // Gives them back to the system. No span shows them any more.
  void Free(BackingPage first, PageCount pages);

  // Where the window shows the page. Not for pages of retired chunks.
  uintptr_t AddressOf(BackingPage page) const {
    return ChunkOf(page).address + (uintptr_t{page % kChunkPages} << kPageShift);
  }

  // Whether more spans can be made to show the page.
  bool CanShow(BackingPage page) const {
    const Chunk& chunk = ChunkOf(page);
    return !chunk.retired && (chunk.in_file || !chunk.private_views);
  }
  // Makes the addresses [target, target + pages) show the pages. Errors: the kernel's; the target
  // is as it was. Waits for no lock, as it is called inside the barrier: a signal handler may store
  // to memory that is held back while its thread holds ours. The file changes under kMesh only,
  // which the caller holds.
  os::Status Show(BackingPage first, PageCount pages, uintptr_t target);

  // Whether spans show the page by private views that can be folded back: their own copies written
  // to the window and dropped.
  bool CanFold(BackingPage page) const {
    const Chunk& chunk = ChunkOf(page);
    return !chunk.retired && chunk.private_views;
  }

  // Whether the page lies in a retired file less than half of whose memory spans still show: the
  // memory goes when they all show another.
  bool IsWasteful(BackingPage page) {
    MutexLock lock(lock_);
    const Chunk& chunk = ChunkOf(page);
    const File& file = files_[chunk.file];
    return chunk.retired && file.in_use < file.held / 2;
  }

  // Forgets that the window has touched [first, last]: the memory stays, RSS falls.
  void DropWindow(BackingPage first, BackingPage last);

  // fork(2), prepare: whether spans that show the page have to be made private.
  bool NeedsSeparation(BackingPage page) const {
    const Chunk& chunk = ChunkOf(page);
    return !chunk.retired && !chunk.private_views;
  }
  // Where the window shows what a span shows by a shared view; 0 if the span's memory is its own.
  uintptr_t WindowOf(const MiniHeap& span) const {
    if (span.memory() != SpanMemory::kBacked || !NeedsSeparation(span.backing())) return 0;
    return AddressOf(span.backing());
  }
  // Replaces the shared view at `address` by a private one of the same pages: one call. False when
  // there is no descriptor, or the kernel refuses; nothing has changed then.
  bool MakePrivate(uintptr_t address, BackingPage first, PageCount pages);
  // Replaces the shared view at `address` by pages of its own, copied; within the write barrier,
  // for other threads store there. False when the kernel refuses; nothing has changed then.
  bool CopyBack(uintptr_t address, BackingPage first, PageCount pages) const;
  // After all views are private: lets go of window and file; [B2]. The next Allocate() starts anew.
  void Retire();

  // Whether the memory file's descriptor is one of those numbers. Any thread, without a lock.
  bool OwnsDescriptorAmong(unsigned int first, unsigned int last) const {
    // order: relaxed; a number, publishes nothing.
    int descriptor = descriptor_.load(std::memory_order_relaxed);
    return descriptor >= 0 && static_cast<unsigned int>(descriptor) >= first &&
           static_cast<unsigned int>(descriptor) <= last;
  }
  // Closes the memory file: its number is wanted by the program. What is meshed stays meshed.
  void GiveUpDescriptor();

  size_t bytes_in_use();   // pages handed out, not retired
  size_t retired_bytes();  // memory of retired files that spans still show

  Mutex& lock() { return lock_; }

 private:
  friend struct WindowLayout;                      // tells other processes where the figures lie
  static constexpr PageCount kChunkPages = 16384;  // 64 MiB of address space
  static constexpr uint32_t kMaxChunks = 4096;     // 256 GiB of meshed memory
  static constexpr PageCount kMaxRun = kMaxMeshablePages;
  // Pages that never were in use are handed out first, up to twice what is and so many more; then
  // those that were, where as many as neighbours have in one piece are unused in a row, or else
  // fresh ones up to four times; then any.
  static constexpr PageCount kFreshAnyway = 1024;
  static constexpr PageCount kRow = 64;
  // So many have to be freed before rows are looked for again, where there were none.
  static constexpr PageCount kFreedBeforeLook = 1024;
  static constexpr uint32_t kNoChunk = UINT32_MAX;
  static constexpr uint32_t kNoFile = UINT32_MAX;

  struct Chunk {
    uintptr_t address;  // of the window; 0 when retired or never used
    size_t file_offset;
    uint64_t* used;   // a bit for each page that is handed out
    PageCount fresh;  // pages handed out at least once
    PageCount in_use;
    uint32_t file;  // index; each chunk of anonymous memory is a file of its own
    bool in_file;   // of the file that is open now
    bool private_views;
    bool retired;
  };

  // Chunks whose memory goes together once they are retired.
  struct File {
    uint32_t chunks;   // not retired
    PageCount in_use;  // in all of them
    PageCount held;    // in_use when it was retired
  };

  const Chunk& ChunkOf(BackingPage page) const { return chunks_[page / kChunkPages]; }
  Chunk& ChunkOf(BackingPage page) { return chunks_[page / kChunkPages]; }
  bool HasFreshLocked(PageCount pages) const REQUIRES(lock_);
  BackingPage FindUnusedLocked(PageCount pages, PageCount row) REQUIRES(lock_);
  BackingPage TakeLocked(PageCount pages) REQUIRES(lock_);
  void NoteUsedLocked(BackingPage first, PageCount pages, bool used) REQUIRES(lock_);
  bool AddChunkLocked() REQUIRES(lock_);
  uint32_t FindChunkSlotLocked() REQUIRES(lock_);
  uint32_t FindFileSlotLocked() REQUIRES(lock_);
  os::Result<uintptr_t> MapInFileLocked(size_t* offset) REQUIRES(lock_);
  void ForgetFileLocked() REQUIRES(lock_);
  void StartAnewLocked() REQUIRES(lock_);
  // A private view comes: core dumps have to hold it.
  void NotePrivateViewLocked() REQUIRES(lock_);

  Mutex lock_{LockRank::kBacking};
  bool private_views_ = false;
  bool dumps_views_ GUARDED_BY(lock_) = false;
  std::atomic<bool> was_retired_{false};  // written with all other threads kept out of the heap
  os::ForkDetector detector_ GUARDED_BY(lock_);
  os::MemoryFile file_ GUARDED_BY(lock_);
  std::atomic<int> descriptor_{-1};
  size_t file_size_ GUARDED_BY(lock_) = 0;
  // Written under the lock; what describes a page that is handed out does not change meanwhile, but
  // `retired` and `in_file`, under the locks of all size classes.
  Chunk chunks_[kMaxChunks] = {};
  uint32_t chunk_count_ GUARDED_BY(lock_) = 0;     // slots ever used
  uint32_t current_ GUARDED_BY(lock_) = kNoChunk;  // fresh pages come from it
  // A file that counts has a chunk in the table, so that there is room.
  File files_[kMaxChunks] GUARDED_BY(lock_) = {};
  uint32_t open_file_ GUARDED_BY(lock_) = kNoFile;  // of the chunks that are `in_file`
  // [n]: behind the last n pages in a row that were found to be unused again. The next are looked
  // for there, so that they are neighbours, where they can be.
  BackingPage cursors_[kMaxRun + 1] GUARDED_BY(lock_) = {};
  PageCount freed_ GUARDED_BY(lock_) = 0;  // since no row was found
  PageCount in_use_ GUARDED_BY(lock_) = 0;
  PageCount handed_out_ GUARDED_BY(lock_) = 0;  // at least once, of chunks pages come from
};

}  // namespace mesh
