// See backing.h.
#include "src/meshing/backing.h"

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>

#include "src/arena/metadata.h"
#include "src/base/check.h"
#include "src/os/memory.h"

namespace mesh {
namespace {

size_t BytesOf(PageCount pages) { return size_t{pages} << kPageShift; }

constexpr PageCount kWordBits = 64;

// The first of `pages` bits in a row, of [first, end), that are not set; `end` where there are
// none.
PageCount FindClear(const uint64_t* words, PageCount first, PageCount end, PageCount pages) {
  PageCount found = 0;
  for (PageCount page = first; page < end;) {
    const uint64_t rest = words[page / kWordBits] >> (page % kWordBits);
    const PageCount most = std::min(kWordBits - page % kWordBits, end - page);
    if ((rest & 1) != 0) {
      page += std::min(static_cast<PageCount>(std::countr_one(rest)), most);
      found = 0;
      continue;
    }
    const PageCount clear = std::min(static_cast<PageCount>(std::countr_zero(rest)), most);
    found += clear;
    page += clear;
    if (found >= pages) return page - found;
  }
  return end;
}

}  // namespace

// The chunks that lie in the file live on, but nothing can be mapped from it any more.
void Backing::ForgetFileLocked() {
  file_.Close();
  // order: relaxed; see OwnsDescriptorAmong().
  descriptor_.store(-1, std::memory_order_relaxed);
  file_size_ = 0;
  open_file_ = kNoFile;
  for (uint32_t i = 0; i < chunk_count_; i++) chunks_[i].in_file = false;
}

// No page of the chunks that are there is handed out again.
void Backing::StartAnewLocked() {
  current_ = kNoChunk;
  handed_out_ = 0;
}

void Backing::GiveUpDescriptor() {
  MutexLock lock(lock_);
  ForgetFileLocked();
  StartAnewLocked();
}

os::Result<uintptr_t> Backing::MapInFileLocked(size_t* offset) {
  if (!file_.is_open() || !file_.IsOurs()) {
    ForgetFileLocked();
    if (os::Status made = file_.Create(); !made.ok()) return {0, made.error};
    // order: relaxed; see OwnsDescriptorAmong().
    descriptor_.store(file_.descriptor(), std::memory_order_relaxed);
  }
  size_t chunk = BytesOf(kChunkPages);
  if (os::Status sized = file_.Resize(file_size_ + chunk); !sized.ok()) return {0, sized.error};
  os::Result<uintptr_t> place = os::MapFileShared(file_.descriptor(), file_size_, chunk);
  if (place.ok()) {
    *offset = file_size_;
    file_size_ += chunk;
  }
  return place;
}

// A slot of the table that no span's pages are named after.
uint32_t Backing::FindChunkSlotLocked() {
  for (uint32_t i = 0; i < chunk_count_; i++) {
    if (chunks_[i].retired && chunks_[i].in_use == 0) return i;
  }
  return chunk_count_ < kMaxChunks ? chunk_count_ : kNoChunk;
}

uint32_t Backing::FindFileSlotLocked() {
  uint32_t slot = 0;
  while (files_[slot].chunks > 0 || files_[slot].in_use > 0) slot++;
  files_[slot].held = 0;
  return slot;
}

bool Backing::AddChunkLocked() {
  uint32_t slot = FindChunkSlotLocked();
  if (slot == kNoChunk) return false;
  Chunk& chunk = chunks_[slot];
  constexpr size_t kBytes = kChunkPages / 8;
  if (chunk.used == nullptr) chunk.used = static_cast<uint64_t*>(AllocateMetadata(kBytes));
  if (chunk.used == nullptr) return false;
  os::Result<uintptr_t> place = MapInFileLocked(&chunk.file_offset);
  bool in_file = place.ok();
  if (!in_file) place = os::MapSharedAnonymous(BytesOf(kChunkPages));
  if (!place.ok()) return false;
  // Refused, process ids are compared instead.
  static_cast<void>(detector_.Arm());
  chunk.file = in_file && open_file_ != kNoFile ? open_file_ : FindFileSlotLocked();
  if (in_file) open_file_ = chunk.file;
  files_[chunk.file].chunks++;
  chunk.address = place.value;
  memset(chunk.used, 0, kBytes);
  chunk.fresh = 0;
  chunk.in_use = 0;
  chunk.in_file = in_file;
  chunk.private_views = in_file && private_views_;
  if (chunk.private_views) NotePrivateViewLocked();
  chunk.retired = false;
  if (slot == chunk_count_) chunk_count_++;
  current_ = slot;
  return true;
}

void Backing::NotePrivateViewLocked() {
  if (dumps_views_) return;
  dumps_views_ = true;
  // Refused, a dump of this process lacks what was meshed.
  static_cast<void>(os::DumpPrivateFiles());
}

bool Backing::HasFreshLocked(PageCount pages) const {
  return current_ != kNoChunk && kChunkPages - chunks_[current_].fresh >= pages;
}

// Pages that were in use before: the next ones from the cursor on if they are unused, or else the
// first of the next `row` that are.
BackingPage Backing::FindUnusedLocked(PageCount pages, PageCount row) {
  BackingPage& cursor = cursors_[pages];
  for (uint32_t i = 0; i <= chunk_count_; i++, cursor = (cursor / kChunkPages + 1) * kChunkPages) {
    if (cursor >= chunk_count_ * kChunkPages) cursor = 0;
    const Chunk& chunk = ChunkOf(cursor);
    if (!CanShow(cursor) || chunk.fresh < chunk.in_use + pages) continue;
    const PageCount first = cursor % kChunkPages;
    const PageCount next = std::min(first + pages, chunk.fresh);
    PageCount found = FindClear(chunk.used, first, next, pages);
    if (found == next) found = FindClear(chunk.used, first, chunk.fresh, std::max(pages, row));
    if (found == chunk.fresh) continue;
    const BackingPage page = cursor - first + found;
    cursor = page + pages;
    return page;
  }
  return kNoBackingPage;
}

void Backing::NoteUsedLocked(BackingPage first, PageCount pages, bool used) {
  for (PageCount page = first % kChunkPages; pages > 0; page++, pages--) {
    const uint64_t bit = uint64_t{1} << (page % kWordBits);
    uint64_t& word = ChunkOf(first).used[page / kWordBits];
    word = used ? word | bit : word & ~bit;
  }
}

// Pages in a row, so that neighbours make one mapping, as long as that does not spread what is in
// use over far more addresses.
BackingPage Backing::TakeLocked(PageCount pages) {
  if (!HasFreshLocked(pages) || handed_out_ >= 2 * in_use_ + kFreshAnyway) {
    BackingPage page = kNoBackingPage;
    if (freed_ >= kFreedBeforeLook) {
      page = FindUnusedLocked(pages, kRow);
      if (page == kNoBackingPage) freed_ = 0;
    }
    if (page == kNoBackingPage && handed_out_ >= 4 * in_use_ + kFreshAnyway) {
      page = FindUnusedLocked(pages, pages);
    }
    if (page != kNoBackingPage) return page;
  }
  // A span does not cross from one chunk into the next.
  if (!HasFreshLocked(pages) && !AddChunkLocked()) return FindUnusedLocked(pages, pages);
  BackingPage page = current_ * kChunkPages + chunks_[current_].fresh;
  chunks_[current_].fresh += pages;
  handed_out_ += pages;
  return page;
}

BackingPage Backing::Allocate(PageCount pages) {
  MESH_DCHECK(pages <= kMaxRun);
  BackingPage page = kNoBackingPage;
  {
    MutexLock lock(lock_);
    page = TakeLocked(pages);
    if (page == kNoBackingPage) return page;
    NoteUsedLocked(page, pages, true);
    in_use_ += pages;
    ChunkOf(page).in_use += pages;
    files_[ChunkOf(page).file].in_use += pages;
  }
  // Before kernel 5.14 there is no such advice, and the first write brings the page.
  os::Status backed = os::Populate(AddressOf(page), BytesOf(pages));
  if (backed.ok() || backed.error == EINVAL) return page;
  Free(page, pages);
  return kNoBackingPage;
}

void Backing::Free(BackingPage first, PageCount pages) {
  MutexLock lock(lock_);
  Chunk& chunk = ChunkOf(first);
  chunk.in_use -= pages;
  files_[chunk.file].in_use -= pages;
  if (chunk.retired) return;  // [B2]
  in_use_ -= pages;
  // In a child that came by a fork which no hook saw, the pages are its parent's.
  if (detector_.was_forked()) return;
  // Refused, the memory stays until the page is handed out again.
  static_cast<void>(os::PunchHole(AddressOf(first), BytesOf(pages)));
  NoteUsedLocked(first, pages, false);
  freed_ += pages;
}

os::Status Backing::Show(BackingPage first, PageCount pages,
                         uintptr_t target) NO_THREAD_SAFETY_ANALYSIS {
  const Chunk& chunk = ChunkOf(first);
  if (!chunk.private_views) return os::Alias(AddressOf(first), BytesOf(pages), target);
  if (!chunk.in_file || !file_.IsOurs()) {
    // The program closed it behind our back. Who holds the lock may be waiting in the barrier: then
    // the next one finds out again.
    if (lock_.TryLock()) {
      ForgetFileLocked();
      StartAnewLocked();
      lock_.Unlock();
    }
    return {EBADF};
  }
  size_t offset = chunk.file_offset + BytesOf(first % kChunkPages);
  return os::MapFilePrivateFixed(file_.descriptor(), offset, target, BytesOf(pages));
}

void Backing::DropWindow(BackingPage first, BackingPage last) {
  // For shared memory this drops page table entries, not memory; refused, RSS stays.
  for (BackingPage page = first; page <= last;) {
    BackingPage end = (page / kChunkPages + 1) * kChunkPages;
    if (end > last + 1) end = last + 1;
    if (ChunkOf(page).address != 0) {
      static_cast<void>(os::ReleasePages(AddressOf(page), BytesOf(end - page)));
    }
    page = end;
  }
}

bool Backing::MakePrivate(uintptr_t address, BackingPage first, PageCount pages) {
  const Chunk& chunk = ChunkOf(first);
  MutexLock lock(lock_);
  if (!chunk.in_file || !file_.IsOurs()) return false;
  NotePrivateViewLocked();
  size_t offset = chunk.file_offset + BytesOf(first % kChunkPages);
  return os::MapFilePrivateFixed(file_.descriptor(), offset, address, BytesOf(pages)).ok();
}

bool Backing::CopyBack(uintptr_t address, BackingPage first, PageCount pages) const {
  size_t length = BytesOf(pages);
  os::Result<uintptr_t> fresh = os::MapAnonymous(length);
  if (!fresh.ok()) return false;
  memcpy(reinterpret_cast<void*>(fresh.value), reinterpret_cast<void*>(AddressOf(first)), length);
  if (os::MovePages(fresh.value, length, address).ok()) return true;
  static_cast<void>(os::Unmap(fresh.value, length));
  return false;
}

void Backing::Retire() {
  MutexLock lock(lock_);
  for (uint32_t i = 0; i < chunk_count_; i++) {
    Chunk& chunk = chunks_[i];
    if (chunk.retired) continue;
    static_cast<void>(os::Unmap(chunk.address, BytesOf(kChunkPages)));
    chunk.address = 0;
    chunk.retired = true;
    files_[chunk.file].chunks--;
    files_[chunk.file].held += chunk.in_use;
  }
  // order: relaxed; see has_private_views().
  was_retired_.store(true, std::memory_order_relaxed);
  ForgetFileLocked();
  StartAnewLocked();
  in_use_ = 0;
}

size_t Backing::bytes_in_use() {
  MutexLock lock(lock_);
  return BytesOf(in_use_);
}

size_t Backing::retired_bytes() {
  MutexLock lock(lock_);
  size_t bytes = 0;
  for (const File& file : files_) {
    if (file.in_use > 0) bytes += BytesOf(file.held);
  }
  return bytes;
}

}  // namespace mesh
