// See memory.h.
#include "src/os/memory.h"

#include <errno.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include <cstring>

#include "src/base/check.h"
#include "src/base/units.h"
#include "src/os/gated_call.h"

// Younger than the oldest headers that we build with. linux/mman.h, asm-generic/mman-common.h.
#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif
#ifndef MADV_DONTNEED_LOCKED
#define MADV_DONTNEED_LOCKED 24
#endif
#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102
#define MADV_GUARD_REMOVE 103
#endif
#ifndef MREMAP_DONTUNMAP
#define MREMAP_DONTUNMAP 4
#endif

namespace mesh::os {
namespace {

constexpr int kReadWrite = PROT_READ | PROT_WRITE;
constexpr int kArenaFlags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;

Result<uintptr_t> Map(Call call, uintptr_t address, size_t length, int protection, int flags,
                      int descriptor = -1, size_t offset = 0) {
  Result<long> mapped =
      GatedCall(call, SYS_mmap, address, length, protection, flags, descriptor, offset);
  return {static_cast<uintptr_t>(mapped.value), mapped.error};
}

Status MapFixed(Call call, uintptr_t address, size_t length, int protection, int flags,
                int descriptor = -1, size_t offset = 0) {
  return {Map(call, address, length, protection, flags | MAP_FIXED, descriptor, offset).error};
}

Status Advise(Call call, uintptr_t address, size_t length, int advice) {
  return GatedStatus(call, SYS_madvise, address, length, advice);
}

Result<uintptr_t> Move(Call call, uintptr_t source, size_t old_length, size_t new_length, int flags,
                       uintptr_t target = 0) {
  Result<long> moved = GatedCall(call, SYS_mremap, source, old_length, new_length, flags, target);
  return {static_cast<uintptr_t>(moved.value), moved.error};
}

// The part of the range that the mapping of its first page holds.
size_t FirstPiece(uintptr_t address, size_t length) {
  if (IsOneMapping(address, length)) return length;
  size_t least = kPageSize;
  while (length - least > kPageSize) {
    const size_t middle = least + RoundUp((length - least) / 2, kPageSize);
    (IsOneMapping(address, middle) ? least : length) = middle;
  }
  return least;
}

struct Moved {
  size_t bytes = 0;    // that have been
  size_t refused = 0;  // length of the piece behind them that was not
  int error = 0;
};

// Moves mapping by mapping. The kernel does so by itself since Linux 6.17, and refuses before; but
// nobody knows how far it came when it fails.
Moved MovePieces(uintptr_t source, size_t length, uintptr_t target) {
  Moved moved;
  while (moved.bytes < length) {
    const size_t piece = FirstPiece(source + moved.bytes, length - moved.bytes);
    moved.error = Move(Call::kRemap, source + moved.bytes, piece, piece,
                       MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP, target + moved.bytes)
                      .error;
    if (moved.error != 0) {
      moved.refused = piece;
      break;
    }
    moved.bytes += piece;
  }
  return moved;
}

// The kernel unmaps the target of a move before it finds that it may not map as much again. False:
// that is a hole, and stays one.
bool FillHole(uintptr_t address, size_t length) {
  const int error =
      Map(Call::kMapPrivateFixed, address, length, kReadWrite, kArenaFlags | MAP_FIXED_NOREPLACE)
          .error;
  return error == 0 || error == EEXIST;
}

// A cut that the kernel refuses costs address space alone: the caller never hears of it.
void Trim(uintptr_t from, uintptr_t to) {
  if (from < to) static_cast<void>(Unmap(from, to - from).ok());
}

Result<uintptr_t> MapNothing(size_t size) {
  return Map(Call::kReserve, 0, size, PROT_NONE, kArenaFlags);
}

// Debuggers write mappings that were never touched into their dumps, unless told not to. Refused, a
// dump is larger.
Result<uintptr_t> LeaveOutOfDumps(Result<uintptr_t> place, size_t size) {
  if (place.ok()) static_cast<void>(Advise(Call::kAdvise, place.value, size, MADV_DONTDUMP).ok());
  return place;
}

// One reservation at exactly `address`, or EEXIST.
Result<uintptr_t> ReserveAt(uintptr_t address, size_t size) {
  Result<uintptr_t> place =
      Map(Call::kReserve, address, size, PROT_NONE, kArenaFlags | MAP_FIXED_NOREPLACE);
  if (place.ok() && place.value != address) {
    // A kernel before 4.17 takes the address for a hint.
    Trim(place.value, place.value + size);
    return {0, EEXIST};
  }
  return place;
}

// Aligned places near the one that the kernel chose. It fills its gaps from the top, so the places
// below are free as a rule.
Result<uintptr_t> ReserveNearby(size_t size, size_t alignment) {
  Result<uintptr_t> plain = MapNothing(size);
  if (!plain.ok() || plain.value % alignment == 0) return plain;
  if (Status given_back = Unmap(plain.value, size); !given_back.ok()) return {0, given_back.error};
  constexpr int kTries = 8;  // each way; a process so tight on address space has few other places
  const uintptr_t below = plain.value & ~(alignment - 1);
  for (int i = 0; i < kTries && below > i * alignment; i++) {
    Result<uintptr_t> place = ReserveAt(below - i * alignment, size);
    if (place.ok()) return place;
    place = ReserveAt(below + (i + 1) * alignment, size);
    if (place.ok()) return place;
  }
  return {0, ENOMEM};
}

}  // namespace

Result<uintptr_t> Reserve(size_t size) { return LeaveOutOfDumps(MapNothing(size), size); }

Result<uintptr_t> ReserveAligned(size_t size, size_t alignment) {
  MESH_DCHECK(IsPowerOfTwo(alignment) && alignment >= kPageSize);
  const size_t padded = size + alignment - kPageSize;
  if (padded < size) return {0, ENOMEM};
  Result<uintptr_t> whole = MapNothing(padded);
  if (!whole.ok()) return LeaveOutOfDumps(ReserveNearby(size, alignment), size);
  const uintptr_t start = RoundUp(whole.value, alignment);
  Trim(whole.value, start);
  Trim(start + size, whole.value + padded);
  return LeaveOutOfDumps({start, 0}, size);
}

Status Commit(uintptr_t address, size_t length) {
  Status committed = GatedStatus(Call::kCommit, SYS_mprotect, address, length, kReadWrite);
  if (committed.ok()) static_cast<void>(Advise(Call::kAdvise, address, length, MADV_DODUMP).ok());
  return committed;
}

Status Decommit(uintptr_t address, size_t length) {
  Status gone = MapFixed(Call::kDecommit, address, length, PROT_NONE, kArenaFlags);
  return {LeaveOutOfDumps({address, gone.error}, length).error};
}

Status MapPrivateFixed(uintptr_t address, size_t length) {
  return MapFixed(Call::kMapPrivateFixed, address, length, kReadWrite, kArenaFlags);
}

Result<uintptr_t> MapAnonymous(size_t length) {
  return Map(Call::kMapAnonymous, 0, length, kReadWrite, kArenaFlags);
}

Result<uintptr_t> MapSharedAnonymous(size_t length) {
  return Map(Call::kMapSharedAnonymous, 0, length, kReadWrite,
             MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE);
}

Result<uintptr_t> MapFileShared(int descriptor, size_t offset, size_t length) {
  return Map(Call::kMapFileShared, 0, length, kReadWrite, MAP_SHARED | MAP_NORESERVE, descriptor,
             offset);
}

Status MapFilePrivateFixed(int descriptor, size_t offset, uintptr_t address, size_t length) {
  return MapFixed(Call::kMapFilePrivate, address, length, kReadWrite, MAP_PRIVATE | MAP_NORESERVE,
                  descriptor, offset);
}

Status Unmap(uintptr_t address, size_t length) {
  return GatedStatus(Call::kUnmap, SYS_munmap, address, length);
}

Status ReleasePages(uintptr_t address, size_t length) {
  Status released = Advise(Call::kRelease, address, length, MADV_DONTNEED);
  // EINVAL is the answer for locked memory (mlockall).
  if (released.error != EINVAL) return released;
  return Advise(Call::kRelease, address, length, MADV_DONTNEED_LOCKED);
}

Status PunchHole(uintptr_t address, size_t length) {
  return Advise(Call::kPunchHole, address, length, MADV_REMOVE);
}

Status Populate(uintptr_t address, size_t length) {
  return Advise(Call::kPopulate, address, length, MADV_POPULATE_WRITE);
}

Status AdviseNoHugePage(uintptr_t address, size_t length) {
  return Advise(Call::kAdvise, address, length, MADV_NOHUGEPAGE);
}

Status AdviseHugePage(uintptr_t address, size_t length) {
  return Advise(Call::kAdvise, address, length, MADV_HUGEPAGE);
}

Status AdviseDontFork(uintptr_t address, size_t length) {
  return Advise(Call::kAdvise, address, length, MADV_DONTFORK);
}

Status AdviseDoFork(uintptr_t address, size_t length) {
  return Advise(Call::kAdvise, address, length, MADV_DOFORK);
}

Status AdviseWipeOnFork(uintptr_t address, size_t length) {
  return Advise(Call::kAdvise, address, length, MADV_WIPEONFORK);
}

Status Alias(uintptr_t window, size_t length, uintptr_t target) {
  return {Move(Call::kAlias, window, 0, length, MREMAP_MAYMOVE | MREMAP_FIXED, target).error};
}

Result<uintptr_t> Remap(uintptr_t old_address, size_t old_length, size_t new_length) {
  return Move(Call::kRemap, old_address, old_length, new_length, MREMAP_MAYMOVE);
}

Status RemapInPlace(uintptr_t address, size_t old_length, size_t new_length) {
  return {Move(Call::kRemap, address, old_length, new_length, 0).error};
}

Status MovePages(uintptr_t source, size_t length, uintptr_t target) {
  return {Move(Call::kRemap, source, length, length, MREMAP_MAYMOVE | MREMAP_FIXED, target).error};
}

// To grow in place is refused with EFAULT if not; and with another error if so, since pages follow
// that are not its own.
bool IsOneMapping(uintptr_t address, size_t length) {
  const int error = Move(Call::kAskMapping, address, length, length + kPageSize, 0).error;
  if (error == 0) static_cast<void>(Unmap(address + length, kPageSize).ok());
  return error != EFAULT;
}

MoveOutcome MovePagesKeepSource(uintptr_t source, size_t length, uintptr_t target) {
  const Moved there = MovePieces(source, length, target);
  MoveOutcome outcome{{there.error}, false};
  if (there.error == 0) return outcome;
  outcome.has_hole = !FillHole(target + there.bytes, there.refused);
  const Moved back = MovePieces(target, there.bytes, source);
  if (back.error == 0) return outcome;
  // The rest is copied. Both sides have the protection that the program has given them.
  const uintptr_t to = source + back.bytes;
  const uintptr_t from = target + back.bytes;
  const size_t rest = there.bytes - back.bytes;
  static_cast<void>(FillHole(to, back.refused));
  static_cast<void>(Protect(to, rest, Protection::kReadWrite).ok());
  static_cast<void>(Protect(from, rest, Protection::kReadWrite).ok());
  memcpy(reinterpret_cast<void*>(to), reinterpret_cast<const void*>(from), rest);
  return outcome;
}

Status Protect(uintptr_t address, size_t length, Protection protection) {
  constexpr int kBits[] = {PROT_NONE, PROT_READ, kReadWrite};
  const Call call = protection == Protection::kReadWrite ? Call::kUnprotect : Call::kProtect;
  return GatedStatus(call, SYS_mprotect, address, length, kBits[static_cast<int>(protection)]);
}

Status Guard(uintptr_t address, size_t length) {
  return Advise(Call::kGuard, address, length, MADV_GUARD_INSTALL);
}

Status Unguard(uintptr_t address, size_t length) {
  return Advise(Call::kUnguard, address, length, MADV_GUARD_REMOVE);
}

Status Residency(uintptr_t address, size_t length, unsigned char* pages) {
  return GatedStatus(Call::kResident, SYS_mincore, address, length, pages);
}

Result<size_t> ResidentPages(uintptr_t address, size_t length) {
  constexpr size_t kBatch = 4096;  // pages a call; the buffer lies on the caller's stack
  unsigned char resident[kBatch];
  size_t count = 0;
  for (size_t done = 0; done < length; done += kBatch * kPageSize) {
    const size_t rest = length - done;
    const size_t pages = rest >= kBatch * kPageSize ? kBatch : PagesFor(rest);
    Status asked = Residency(address + done, pages * kPageSize, resident);
    if (!asked.ok()) return {0, asked.error};
    for (size_t i = 0; i < pages; i++) count += resident[i] & 1;
  }
  return {count, 0};
}

}  // namespace mesh::os
