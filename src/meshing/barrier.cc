// See barrier.h.
#include "src/meshing/barrier.h"

#include <errno.h>

#include <algorithm>

#include "src/base/check.h"
#include "src/base/units.h"
#include "src/os/memory.h"
#include "src/os/process.h"

namespace mesh {

const char* BarrierTierName(BarrierTier tier) {
  static constexpr const char* kNames[] = {
      "auto", "single thread", "userfaultfd", "userfaultfd user mode", "segv", "none"};
  return kNames[static_cast<int>(tier)];
}

void WriteBarrier::Init(BarrierTier wanted) {
  wanted_ = wanted;
  process_ = os::ProcessId();
  SetTier(BarrierTier::kNone);
  for (bool& refused : refused_modes_) refused = false;
}

bool WriteBarrier::IsAlone() const {
  if (IsShared()) return false;
  os::Result<size_t> threads = os::ThreadCount();
  return threads.ok() && threads.value == 1;
}

bool WriteBarrier::HasUserfault(os::UserfaultMode mode) {
  // First, since the descriptor that is open may be of the mode that is asked for next.
  bool& refused = refused_modes_[static_cast<int>(mode)];
  if (refused) return false;
  if (uffd_.is_open()) {
    if (uffd_mode_ == mode && uffd_.IsOurs()) return true;
    static_cast<void>(uffd_.Close());
  }
  const os::Status opened = uffd_.Open(mode);
  if (!opened.ok()) {
    // A lack of descriptors or memory may pass, and so may a program that closes some.
    const int error = opened.error;
    refused =
        error != EMFILE && error != ENFILE && error != ENOMEM && error != EBADF && error != EBUSY;
    return false;
  }
  uffd_mode_ = mode;
  epoch_++;
  if (mode == os::UserfaultMode::kFull) buffers_.Disable();  // [W3]
  return true;
}

// Whether what the kernel stores into can be told and left alone.
bool WriteBarrier::CanExclude() {
  if (IsShared() || !buffers_.enabled()) return false;
  // Publishing costs a fence until then.
  if (!asked_for_membarrier_) static_cast<void>(buffers_.UseMembarrier());
  asked_for_membarrier_ = true;
  return true;
}

bool WriteBarrier::CanUse(BarrierTier tier) {
  switch (tier) {
    case BarrierTier::kSingleThread:
      return IsAlone();
    case BarrierTier::kUserfault:
      return HasUserfault(os::UserfaultMode::kFull);
    case BarrierTier::kUserfaultUserOnly:
      return CanExclude() && HasUserfault(os::UserfaultMode::kUserOnly);
    case BarrierTier::kSegv:
      return CanExclude() && handler_.Install().ok();
    case BarrierTier::kAuto:
    case BarrierTier::kNone:
      break;
  }
  return false;
}

BarrierTier WriteBarrier::Choose() {
  if (process_ != os::ProcessId()) return BarrierTier::kNone;  // [W4]
  if (wanted_ != BarrierTier::kAuto) return CanUse(wanted_) ? wanted_ : BarrierTier::kNone;
  for (BarrierTier tier : {BarrierTier::kSingleThread, BarrierTier::kUserfault,
                           BarrierTier::kUserfaultUserOnly, BarrierTier::kSegv}) {
    if (CanUse(tier)) return tier;
  }
  return BarrierTier::kNone;
}

// A tier that does with threads does without as well: whether there are any is asked for no batch.
BarrierTier WriteBarrier::Keep() {
  bool needs_one_thread = tier() == BarrierTier::kSingleThread;
  if (needs_one_thread || process_ != os::ProcessId() || !CanUse(tier())) return Choose();
  return tier();
}

BarrierTier WriteBarrier::Prepare() {
  MESH_DCHECK(!active_);
  // liburing enters the kernel by instructions of its own: no interposition sees it.
  if (!IsShared() && os::HasIoRing().value) MarkAddressSpaceShared();
  SetTier(Choose());
  return tier();
}

bool WriteBarrier::Cover(Range range) {
  if (!uffd_.is_open() || range.length == 0) return true;
  return uffd_.Register(range.address, range.length).ok();
}

bool WriteBarrier::Begin(std::span<const Range> ranges, std::span<const uintptr_t> windows) {
  MESH_DCHECK(!active_ && windows.size() == ranges.size());
  refused_index_ = -1;
  if (ranges.empty() || ranges.size() > kMaxRanges) return false;
  os::Result<os::SignalMask> before = os::SetSignalMask(os::kAllSignals);
  if (!before.ok()) return false;
  signals_before_ = before.value;
  TakeRanges(ranges, windows);
  SetTier(Keep());
  if (tier() != BarrierTier::kNone) {
    if (ExcludePublished()) {
      if (ProtectAll()) {
        active_ = true;
        return true;
      }
      EndTier();
    }
  }
  RestoreSignals();
  return false;
}

void WriteBarrier::TakeRanges(std::span<const Range> ranges, std::span<const uintptr_t> windows) {
  count_ = ranges.size();
  for (size_t i = 0; i < count_; i++) {
    MESH_DCHECK(ranges[i].address % kPageSize == 0 && ranges[i].length % kPageSize == 0);
    ranges_[i] = ranges[i];
    windows_[i] = windows[i];
    states_[i] = State::kPlain;
    order_[i] = static_cast<uint16_t>(i);
  }
  std::sort(order_, order_ + count_,
            [this](uint16_t a, uint16_t b) { return ranges_[a].address < ranges_[b].address; });
}

// Joins neighbours in `state` and shows each run to `visit` until it returns false.
template <typename Visit>
bool WriteBarrier::ForEachRun(State state, Visit visit) {
  for (size_t i = 0; i < count_;) {
    if (states_[order_[i]] != state) {
      i++;
      continue;
    }
    Run run = {ranges_[order_[i]], i, i + 1};
    for (; run.end < count_; run.end++) {
      const Range& next = ranges_[order_[run.end]];
      if (states_[order_[run.end]] != state || next.address != run.range.end()) break;
      run.range.length += next.length;
    }
    i = run.end;
    if (!visit(run)) return false;
  }
  return true;
}

void WriteBarrier::SetStates(const Run& run, State state) {
  for (size_t i = run.first; i < run.end; i++) states_[order_[i]] = state;
}

// Sets the ranges aside that have to stay where they are whatever the tier. Returns false when
// nothing is left.
bool WriteBarrier::ExcludePinned() {
  if (!buffers_.HasPinned()) return true;
  bool any_left = false;
  for (size_t i = 0; i < count_; i++) {
    if (buffers_.IsPinned(ranges_[i])) states_[i] = State::kExcluded;
    any_left |= states_[i] == State::kPlain;
  }
  return any_left;
}

// In the lower tiers: closes the ranges to system calls, sets those aside that one is using, and
// begins the handler's pass. Returns false when it cannot be done, or nothing is left to protect.
bool WriteBarrier::ExcludePublished() {
  if (tier() != BarrierTier::kUserfaultUserOnly && tier() != BarrierTier::kSegv) {
    return ExcludePinned();
  }
  if (!buffers_.Close(ranges_[order_[0]].address, ranges_[order_[count_ - 1]].end())) return false;
  bool any_left = false;
  for (size_t i = 0; i < count_; i++) {
    if (buffers_.Overlaps(ranges_[i])) states_[i] = State::kExcluded;
    any_left |= states_[i] == State::kPlain;
  }
  // Who began to share memory after Choose() had looked either sees that it is closed, and waits,
  // or is seen here.
  if (any_left && !IsShared() &&
      (tier() != BarrierTier::kSegv || (ReserveSpare() && handler_.BeginPass()))) {
    return true;
  }
  spare_.Drop();
  buffers_.Open();
  return false;
}

// Ends what ExcludePublished() began.
void WriteBarrier::EndTier() {
  if (tier() == BarrierTier::kSegv) {
    handler_.EndPass();
    spare_.Drop();
  }
  if (tier() == BarrierTier::kUserfaultUserOnly || tier() == BarrierTier::kSegv) buffers_.Open();
}

bool WriteBarrier::ProtectAll() {
  if (tier() == BarrierTier::kSingleThread) return true;
  if (ForEachRun(State::kPlain, [this](const Run& run) { return ProtectRun(run); })) return true;
  ReleaseAll();
  return false;
}

bool WriteBarrier::ProtectRun(const Run& run) {
  const auto [address, length] = run.range;
  if (tier() == BarrierTier::kSegv) {
    SetStates(run, State::kProtected);  // a part of it is, when the call fails
    return os::Protect(address, length, os::Protection::kRead).ok();
  }
  // Every time, even if Cover() did: the kernel would let us protect what another userfaultfd has
  // registered, and send its writers there.
  if (!uffd_.Register(address, length).ok()) {
    FindRefused(run);
    return false;
  }
  SetStates(run, State::kProtected);
  return uffd_.WriteProtect(address, length).ok();
}

// Sets refused_index_ to the first range of the run that cannot be registered.
void WriteBarrier::FindRefused(const Run& run) {
  for (size_t i = run.first; i < run.end; i++) {
    const Range& range = ranges_[order_[i]];
    const int error = uffd_.Register(range.address, range.length).error;
    if (error != EBUSY && error != EINVAL) continue;
    refused_index_ = order_[i];
    return;
  }
}

// Takes the protection off everything that was not replaced, and wakes everybody. [W2]
void WriteBarrier::ReleaseAll() {
  if (tier() == BarrierTier::kSingleThread) return;
  if (tier() != BarrierTier::kSegv) return ReleaseAllByUserfault();
  ForEachRun(State::kProtected, [this](const Run& run) {
    ReleaseRunByMprotect(run);
    return true;
  });
}

bool WriteBarrier::ReleaseRunByUserfault(const Run& run) {
  const auto [address, length] = run.range;
  // Not Unprotect() first: a thread may have seen the protection and not yet be in the queue of
  // those who wait. It would find the entry still read-only, go to sleep after the wake-up, and
  // sleep for ever. To unregister locks the mapping as a whole, which waits for such threads, as
  // replacing it does (fs/userfaultfd.c, userfaultfd_must_wait(), 6.18).
  return uffd_.Unregister(address, length).ok() || uffd_.Unprotect(address, length).ok();
}

void WriteBarrier::ReleaseAllByUserfault() {
  bool released = true;
  ForEachRun(State::kProtected, [&](const Run& run) {
    released &= ReleaseRunByUserfault(run);
    return true;
  });
  // Who waits for a page that was replaced is woken by nobody else.
  const uintptr_t low = ranges_[order_[0]].address;
  const uintptr_t high = ranges_[order_[count_ - 1]].end();
  const bool woken = uffd_.Wake(low, high - low).ok();
  if (!released || !woken) {
    // Closing the descriptor does all of it at once, at the price of every registration, unless a
    // forked child still has it; the next use opens another.
    if (uffd_.Close()) return;
    // Writers that sleep for ever would be worse than an end.
    FatalAt("the kernel keeps memory write-protected", reinterpret_cast<const void*>(low));
  }
  // Like their neighbours again, so that the mappings merge. Refused, they stay apart.
  ForEachRun(State::kProtected, [&](const Run& run) {
    static_cast<void>(uffd_.Register(run.range.address, run.range.length));
    return true;
  });
}

// Sets aside what the private ranges may need to be replaced by.
bool WriteBarrier::ReserveSpare() {
  size_t length = 0;
  for (size_t i = 0; i < count_; i++) {
    if (states_[i] == State::kPlain && windows_[i] == 0) length += ranges_[i].length;
  }
  return spare_.Reserve(length);
}

// Puts other memory of the same contents in the place of a range that is read-only.
bool WriteBarrier::Replace(size_t index) {
  const Range& range = ranges_[index];
  if (windows_[index] == 0) return spare_.Replace(range);
  return os::Alias(windows_[index], range.length, range.address).ok();
}

void WriteBarrier::ReleaseRunByMprotect(const Run& run) {
  const auto [address, length] = run.range;
  // What the kernel is out of it may have again. What a limit or a filter forbids it will not do.
  constexpr int kTries = 1000;
  for (int i = 0; i < kTries; i++) {
    if (os::Protect(address, length, os::Protection::kReadWrite).ok()) return;
    // It may have been refused to protect anything: that writes to each page as it is.
    if (os::Populate(address, length).ok()) return;
    bool replaced = true;
    for (size_t place = run.first; place < run.end; place++) {
      const size_t index = order_[place];
      if (states_[index] != State::kRemapped && Replace(index)) states_[index] = State::kRemapped;
      replaced &= states_[index] == State::kRemapped;
    }
    if (replaced) return;
  }
  FatalAt("the kernel keeps memory read-only", reinterpret_cast<const void*>(address));
}

void WriteBarrier::MarkRemapped(size_t index) {
  MESH_DCHECK(active_ && index < count_ && states_[index] != State::kExcluded &&
              states_[index] != State::kRemapped);
  states_[index] = State::kRemapped;
}

void WriteBarrier::Finish() {
  MESH_DCHECK(active_);
  ReleaseAll();
  EndTier();
  active_ = false;
  RestoreSignals();
}

void WriteBarrier::RestoreSignals() {
  count_ = 0;
  os::RestoreSignalMask(signals_before_);
}

void WriteBarrier::AfterForkInChild(SyscallBuffers::Record* own) {
  MESH_DCHECK(!active_);
  buffers_.AfterForkInChild(own);
  handler_.AfterForkInChild();
  static_cast<void>(uffd_.Close());
  process_ = os::ProcessId();
  SetTier(BarrierTier::kNone);
}

void WriteBarrier::DescriptorLost() {
  MESH_DCHECK(!active_);
  uffd_.Forget();
}

}  // namespace mesh
