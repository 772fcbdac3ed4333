// See backing.h.
#include "src/meshing/backing.h"

#include <cerrno>
#include <cstring>

#include "src/arena/metadata.h"
#include "src/base/check.h"
#include "src/os/memory.h"

namespace mesh {
namespace {

size_t BytesOf(PageCount pages) { return size_t{pages} << kPageShift; }

}  // namespace

// The chunks that lie in the file live on, but nothing can be mapped from it any more.
void Backing::ForgetFileLocked() {
  file_.Close();
  // order: relaxed; see OwnsDescriptorAmong().
  descriptor_.store(-1, std::memory_order_relaxed);
  file_size_ = 0;
  for (uint32_t i = 0; i < chunk_count_; i++) chunks_[i].in_file = false;
}

void Backing::GiveUpDescriptor() {
  MutexLock lock(lock_);
  ForgetFileLocked();
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

bool Backing::AddChunkLocked() {
  if (chunk_count_ == kMaxChunks) return false;
  Chunk& chunk = chunks_[chunk_count_];
  if (chunk.next_free == nullptr) {
    chunk.next_free =
        static_cast<BackingPage*>(AllocateMetadata(kChunkPages * sizeof(BackingPage)));
    if (chunk.next_free == nullptr) return false;
  }
  os::Result<uintptr_t> place = MapInFileLocked(&chunk.file_offset);
  chunk.in_file = place.ok();
  if (!place.ok()) place = os::MapSharedAnonymous(BytesOf(kChunkPages));
  if (!place.ok()) return false;
  chunk.address = place.value;
  chunk_count_++;
  return true;
}

BackingPage Backing::TakeLocked(PageCount pages) {
  if (BackingPage head = free_[pages]; head != 0) {
    BackingPage page = head - 1;
    free_[pages] = chunks_[page / kChunkPages].next_free[page % kChunkPages];
    return page;
  }
  // A span does not cross from one chunk into the next.
  PageCount left = kChunkPages - next_fresh_ % kChunkPages;
  if (left < pages) next_fresh_ += left;
  if (next_fresh_ + pages > chunk_count_ * kChunkPages && !AddChunkLocked()) return kNoBackingPage;
  BackingPage page = next_fresh_;
  next_fresh_ += pages;
  return page;
}

BackingPage Backing::Allocate(PageCount pages) {
  MESH_DCHECK(pages <= kMaxRun);
  BackingPage page = kNoBackingPage;
  {
    MutexLock lock(lock_);
    page = TakeLocked(pages);
    if (page == kNoBackingPage) return page;
    in_use_ += pages;
  }
  // Before kernel 5.14 there is no such advice, and the first write brings the page.
  os::Status backed = os::Populate(AddressOf(page), BytesOf(pages));
  if (backed.ok() || backed.error == EINVAL) return page;
  Free(page, pages);
  return kNoBackingPage;
}

void Backing::Free(BackingPage first, PageCount pages) {
  // Refused, the memory stays until the page is handed out again.
  static_cast<void>(os::PunchHole(AddressOf(first), BytesOf(pages)));
  MutexLock lock(lock_);
  chunks_[first / kChunkPages].next_free[first % kChunkPages] = free_[pages];
  free_[pages] = first + 1;
  in_use_ -= pages;
}

void Backing::DropWindow(BackingPage first, BackingPage last) {
  // For shared memory this drops page table entries, not memory; refused, RSS stays.
  for (BackingPage page = first; page <= last;) {
    BackingPage end = (page / kChunkPages + 1) * kChunkPages;
    if (end > last + 1) end = last + 1;
    static_cast<void>(os::ReleasePages(AddressOf(page), BytesOf(end - page)));
    page = end;
  }
}

bool Backing::CopyBack(uintptr_t address, uintptr_t window, size_t length) {
  os::Result<uintptr_t> fresh = os::MapAnonymous(length);
  if (!fresh.ok()) return false;
  memcpy(reinterpret_cast<void*>(fresh.value), reinterpret_cast<void*>(window), length);
  if (os::MovePages(fresh.value, length, address).ok()) return true;
  static_cast<void>(os::Unmap(fresh.value, length));
  return false;
}

bool Backing::MakePrivate(uintptr_t address, BackingPage first, PageCount pages,
                          uint32_t* generation) {
  const Chunk& chunk = chunks_[first / kChunkPages];
  MutexLock lock(lock_);
  *generation = kNoBackingPage;
  if (current_generation_ == kMaxGenerations) {
    for (uint32_t i = 0; i < kMaxGenerations && current_generation_ == kMaxGenerations; i++) {
      if (generations_[i].spans == 0) current_generation_ = i;
    }
  }
  if (current_generation_ < kMaxGenerations && chunk.in_file && file_.IsOurs()) {
    size_t offset = chunk.file_offset + BytesOf(first % kChunkPages);
    if (os::MapFilePrivateFixed(file_.descriptor(), offset, address, BytesOf(pages)).ok()) {
      *generation = current_generation_;
      generations_[current_generation_].spans++;
      return true;
    }
  }
  return CopyBack(address, AddressOf(first), BytesOf(pages));
}

void Backing::Retire() {
  MutexLock lock(lock_);
  if (current_generation_ < kMaxGenerations) {
    Generation& current = generations_[current_generation_];
    // Where everything was copied, nobody shows the pages any more.
    current.pages = current.spans > 0 ? in_use_ : 0;
  }
  current_generation_ = kMaxGenerations;
  for (uint32_t i = 0; i < chunk_count_; i++) {
    static_cast<void>(os::Unmap(chunks_[i].address, BytesOf(kChunkPages)));
  }
  ForgetFileLocked();
  chunk_count_ = 0;
  next_fresh_ = 0;
  memset(free_, 0, sizeof(free_));
  in_use_ = 0;
}

void Backing::DropFrozen(uint32_t generation) {
  MutexLock lock(lock_);
  Generation& dropped = generations_[generation];
  MESH_DCHECK(dropped.spans > 0);
  if (--dropped.spans == 0) dropped.pages = 0;
}

size_t Backing::bytes_in_use() {
  MutexLock lock(lock_);
  return BytesOf(in_use_);
}

size_t Backing::frozen_bytes() {
  MutexLock lock(lock_);
  size_t bytes = 0;
  for (const Generation& generation : generations_) bytes += BytesOf(generation.pages);
  return bytes;
}

uint32_t Backing::frozen_spans() {
  MutexLock lock(lock_);
  uint32_t spans = 0;
  for (const Generation& generation : generations_) spans += generation.spans;
  return spans;
}

}  // namespace mesh
