// Address space and the memory behind it: mmap, mprotect, madvise, mremap, mincore.
//
// Addresses and lengths are bytes and multiples of kPageSize unless a line says otherwise. Errors
// come back as errno values; a refused call has changed nothing unless a line says otherwise.
//
// Mappings of the arena carry MAP_NORESERVE all of them: two neighbours merge into one mapping only
// when all their flags agree, and mappings are a budget.
// Room: os. Locks: none are taken; callers own the ranges that they pass. Allocates nothing.
#pragma once

#include <cstddef>
#include <cstdint>

#include "src/os/result.h"

namespace mesh::os {

// Takes address space without memory: PROT_NONE, nothing charged, not in core dumps before
// Commit(). Errors: ENOMEM (RLIMIT_AS, mappings used up), EAGAIN (mlockall and RLIMIT_MEMLOCK).
Result<uintptr_t> Reserve(size_t size);

// As Reserve, at a multiple of `alignment` (a power of two, >= kPageSize).
// Takes size + alignment and trims; when that is refused (RLIMIT_AS), asks for aligned places below
// and above the place where the kernel puts a reservation of this size.
Result<uintptr_t> ReserveAligned(size_t size, size_t alignment);

// Makes reserved memory usable: read, write, zeros at first.
// Errors: ENOMEM (overcommit_memory=2 is at its limit, or the split mapping is one too many).
Status Commit(uintptr_t address, size_t length);

// Back to Reserve's state, whatever was mapped there: contents gone, commit charge given back.
// A protection alone would keep the charge under overcommit_memory=2.
Status Decommit(uintptr_t address, size_t length);

// Puts fresh private anonymous memory (read, write, zeros) in place of whatever is mapped there. It
// lacks the advice (huge pages, fork) and the userfaultfd registration of its neighbours and stays
// a mapping of its own until they are given again.
Status MapPrivateFixed(uintptr_t address, size_t length);

// Private anonymous memory where the kernel likes, read and write.
Result<uintptr_t> MapAnonymous(size_t length);

// Shared anonymous memory: what a forked child and Alias() share. Needs no descriptor.
Result<uintptr_t> MapSharedAnonymous(size_t length);

// The file's pages from `offset`, shared, read and write.
Result<uintptr_t> MapFileShared(int descriptor, size_t offset, size_t length);

// Puts a copy-on-write view of the file's pages over whatever is mapped at `address`.
Status MapFilePrivateFixed(int descriptor, size_t offset, uintptr_t address, size_t length);

// Errors: ENOMEM when cutting a mapping in two would be one too many.
Status Unmap(uintptr_t address, size_t length);

// Gives pages back; private anonymous memory reads zeros afterwards (memory of a file: its old
// bytes). Works on locked memory too (kernel 5.18 and later; before: EINVAL there). Drops a
// userfaultfd write protection of private pages.
Status ReleasePages(uintptr_t address, size_t length);

// Gives the pages behind a shared mapping back to the system: zeros afterwards, for every mapping.
Status PunchHole(uintptr_t address, size_t length);

// Makes every page of the range present and writable now, so that no store to it can end in SIGBUS
// (a memory file under overcommit_memory=2) later.
// Errors: ENOMEM, EFAULT: no memory, a part may be present; EINVAL: kernel before 5.14.
Status Populate(uintptr_t address, size_t length);

// Transparent huge pages off or on. Kernels without them refuse with EINVAL, which is no loss.
Status AdviseNoHugePage(uintptr_t address, size_t length);
Status AdviseHugePage(uintptr_t address, size_t length);

// What a forked child gets of the range: nothing, the usual, zeros (private anonymous only).
Status AdviseDontFork(uintptr_t address, size_t length);
Status AdviseDoFork(uintptr_t address, size_t length);
Status AdviseWipeOnFork(uintptr_t address, size_t length);

// Maps the pages of the shared mapping at `window` a second time, over whatever is at `target`. No
// descriptor is needed. The alias inherits the window's advice: a MADV_DONTFORK window makes
// aliases that no child has. Nothing is populated, and no userfaultfd registration comes along.
// Errors: EINVAL: `window` is not shared memory; ENOMEM: mappings used up. `target` is then intact
//         (the kernel checks its budget, 4 mappings of headroom, before it unmaps anything).
Status Alias(uintptr_t window, size_t length, uintptr_t target);

// Resizes a mapping of its own; it may move. The old place is then unmapped.
// Errors: ENOMEM, EFAULT (several mappings); the old mapping is then intact.
Result<uintptr_t> Remap(uintptr_t old_address, size_t old_length, size_t new_length);

// Resizes in place or refuses with ENOMEM.
Status RemapInPlace(uintptr_t address, size_t old_length, size_t new_length);

// Moves pages with their contents over whatever is at `target`. The source becomes a hole, which
// another thread's mmap may fill at once: it must not be mapped over afterwards.
Status MovePages(uintptr_t source, size_t length, uintptr_t target);

// Whether one mapping holds all of the range, behind which pages follow that are mapped, too.
bool IsOneMapping(uintptr_t address, size_t length);

struct MoveOutcome {
  Status status;
  bool has_hole = false;  // a part of the target is not mapped, and must never be used again
  bool ok() const { return status.ok(); }
};
// As MovePages, but the source stays mapped, empty (MREMAP_DONTUNMAP: kernel 5.7 and later,
// private anonymous memory; 5.13 shared too; otherwise EINVAL). The source may lie in several
// mappings. Refused, its contents are as they were, and the target is mapped, unless it has a hole,
// with whatever contents and protection.
MoveOutcome MovePagesKeepSource(uintptr_t source, size_t length, uintptr_t target);

enum class Protection : uint8_t { kNone, kRead, kReadWrite };

// May have changed a part when it fails in the middle of several mappings (ENOMEM).
Status Protect(uintptr_t address, size_t length, Protection protection);

// Makes every access to pages of private anonymous memory fault, and drops what they hold. Marks in
// the page tables do it: the mapping is not cut. They outlive ReleasePages(), and end by Unguard()
// or when something is mapped there.
// Errors: EINVAL: a kernel before 6.13, or locked memory; ENOMEM: a part may be marked.
Status Guard(uintptr_t address, size_t length);
// Pages that have no such mark stay as they are.
Status Unguard(uintptr_t address, size_t length);

// Which pages of the range are in memory: the lowest bit of a byte for each. Where swapped out, a
// private page is not.
Status Residency(uintptr_t address, size_t length, unsigned char* pages);

// Pages of the range that are in memory. For a shared mapping: that its backing holds, whether or
// not this mapping has touched them. Cost: one call for each 4096 pages.
Result<size_t> ResidentPages(uintptr_t address, size_t length);

}  // namespace mesh::os
