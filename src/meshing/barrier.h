// WriteBarrier: while objects are copied, no store to them may be lost, and none may fail.
//
// Four ways, called tiers, of which the best that this process may use is chosen at run time:
//
//   kSingleThread      nobody else is there, and all signals are blocked: nothing to do
//   kUserfault         writers wait in the kernel, system calls and io_uring included
//   kUserfaultUserOnly stores wait likewise; buffers of system calls are left alone (published.h)
//   kSegv              mprotect, writers wait in a SIGSEGV handler (segv_handler.h); buffers
//                      as above; spare_memory.h for what stays read-only
//
// One mesher at a time. Between Begin() and Finish() it reads the ranges and may replace any of
// them with mremap(MREMAP_FIXED) or mmap(MAP_FIXED); it must not store into them, and must not wait
// for another thread that may: a lock that is held across stores to user memory is a deadlock here.
// Private anonymous pages of a range must not be released: MADV_DONTNEED drops their protection.
//
// Room: meshing. Thread rule: the mesh lock, save OwnsDescriptor() and MarkAddressSpaceShared().
// Allocates nothing; all signals of the calling thread are blocked from Begin() to Finish().
//
// [W1] After a Begin() that returned false, nothing is protected and no signal is blocked.
// [W2] After Finish() nothing is protected, whatever calls were refused.
// [W3] The lower tiers need every call in progress to be published. They are out of reach until the
//      front says that it publishes (SyscallBuffers::Enable), and again once a full userfaultfd was
//      open, as publishing stops then.
// [W4] process_ is the process that may mesh. A vfork child has another id, and mesh it must not:
//      it cannot see its parent's other threads.
// Source: docs/design.md, "The write barrier"; userfaultfd(2), ioctl_userfaultfd(2).
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>

#include "src/meshing/published.h"
#include "src/meshing/range.h"
#include "src/meshing/segv_handler.h"
#include "src/meshing/spare_memory.h"
#include "src/os/signals.h"
#include "src/os/userfaultfd.h"

namespace mesh {

enum class BarrierTier : uint8_t {
  kAuto,  // a wish only
  kSingleThread,
  kUserfault,
  kUserfaultUserOnly,
  kSegv,
  kNone,
};

const char* BarrierTierName(BarrierTier tier);

class WriteBarrier {
 public:
  // Ranges of one Begin(). Enough to make the fixed costs (a scan of /proc, a system call a run)
  // small beside the copies.
  static constexpr size_t kMaxRanges = 256;

  constexpr WriteBarrier() = default;
  WriteBarrier(const WriteBarrier&) = delete;
  WriteBarrier& operator=(const WriteBarrier&) = delete;

  // Sets what is wanted and whose memory it is. Opens nothing. kAuto takes the tiers in the order
  // above; any other is taken or refused.
  void Init(BarrierTier wanted);

  // Chooses the tier for now, opening what it needs, and looks whether there is an io_uring
  // instance. Before each series of Begin(), which does not look, and chooses again only where the
  // tier does not do any more. Returns: the tier that Begin() would use; kNone: there will be no
  // meshing.
  BarrierTier Prepare();

  // What Prepare() or Begin() chose last. Any thread.
  BarrierTier tier() const {
    // order: relaxed; other threads only report it.
    return tier_.load(std::memory_order_relaxed);
  }

  // Changes whenever a new userfaultfd has no registrations yet: Cover() everything again then.
  uint32_t epoch() const { return epoch_; }

  // Registers memory that may come to be in a Begin(), so that it need not be done there, piece by
  // piece, each a mapping of its own. A whole reserved segment may be given at once: committing
  // parts of it keeps the registration. Mapping something over a part of it drops that part's.
  // Returns: false when it was refused (another userfaultfd has a part). Without an open
  //          userfaultfd there is nothing to do, and that is true.
  bool Cover(Range range);

  // Makes every store into the ranges wait until Finish(). They are whole pages and disjoint; at
  // most kMaxRanges. `windows` says of each where else its memory is mapped, if that is shared
  // memory, and 0 if it is private: what kSegv needs to know to put other memory in its place where
  // the kernel would leave it read-only. Returns: false, and nothing has changed [W1], when it
  // cannot be done: refused_index() may say why.
  bool Begin(std::span<const Range> ranges, std::span<const uintptr_t> windows);

  // True when the kernel may be storing into the range, or knows a part of it by the memory behind
  // it: it is not protected and must be left alone.
  bool is_excluded(size_t index) const { return states_[index] == State::kExcluded; }

  // After a Begin() that failed: the range that the kernel would not protect (foreign registration,
  // memory of an unknown kind), or -1.
  int refused_index() const { return refused_index_; }

  // Range `index` was replaced: its protection is gone with the mapping.
  void MarkRemapped(size_t index);

  // Lets all writers go on, restores the signals.
  // Cost: one system call for each run of neighbouring ranges that were not replaced, and a few.
  void Finish();

  // The parent's userfaultfd acts on the parent's memory: closes our copy of it; another is opened
  // at the next use. `own` is this thread's record of published buffers, if it has one; all others'
  // buffers are forgotten. Not between Begin() and Finish().
  void AfterForkInChild(SyscallBuffers::Record* own = nullptr);

  // From now on something stores into our memory that is neither a thread of ours nor stopped by a
  // signal handler: a clone(CLONE_VM) child, an io_uring instance. Only kUserfault will do.
  // Any thread; to be called before the sharing begins, under the mesh lock or with none in a mesh.
  void MarkAddressSpaceShared() {
    // order: release; pairs with the acquire in IsShared().
    shared_.store(true, std::memory_order_release);
  }

  // For interposed close, dup2 and close_range: whether `descriptor` is the userfaultfd. If so,
  // take the mesh lock, call DescriptorLost(), then let the program have its way. Any thread.
  bool OwnsDescriptor(int descriptor) const {
    return descriptor >= 0 && descriptor == uffd_.descriptor();
  }
  // The same for all numbers from `first` to `last`.
  bool OwnsDescriptorAmong(unsigned int first, unsigned int last) const {
    const int descriptor = uffd_.descriptor();
    if (descriptor < 0) return false;
    return static_cast<unsigned int>(descriptor) >= first &&
           static_cast<unsigned int>(descriptor) <= last;
  }
  void DescriptorLost();

  // What interposed calls publish into, and what the program's SIGSEGV goes through: see there.
  SyscallBuffers& buffers() { return buffers_; }
  SegvHandler& segv_handler() { return handler_; }

 private:
  friend struct WindowLayout;  // tells other processes where the figures lie
  enum class State : uint8_t { kPlain, kExcluded, kProtected, kRemapped };

  // Neighbouring ranges in the same state: places [first, end) of order_.
  struct Run {
    Range range;
    size_t first;
    size_t end;
  };

  bool IsShared() const {
    // order: acquire; see MarkAddressSpaceShared().
    return shared_.load(std::memory_order_acquire);
  }
  void SetTier(BarrierTier tier) {
    // order: relaxed; see tier().
    tier_.store(tier, std::memory_order_relaxed);
  }
  bool IsAlone() const;
  bool HasUserfault(os::UserfaultMode mode);
  bool CanExclude();
  bool CanUse(BarrierTier tier);
  BarrierTier Choose();
  BarrierTier Keep();

  void TakeRanges(std::span<const Range> ranges, std::span<const uintptr_t> windows);
  bool ExcludePinned();
  bool ExcludePublished();
  bool ProtectAll();
  bool ProtectRun(const Run& run);
  void FindRefused(const Run& run);
  void ReleaseAll();
  void ReleaseAllByUserfault();
  bool ReleaseRunByUserfault(const Run& run);
  bool ReserveSpare();
  void ReleaseRunByMprotect(const Run& run);
  bool Replace(size_t index);
  void EndTier();
  void RestoreSignals();
  void SetStates(const Run& run, State state);

  template <typename Visit>
  bool ForEachRun(State state, Visit visit);

  SyscallBuffers buffers_;
  SegvHandler handler_;
  os::Userfaultfd uffd_;
  os::UserfaultMode uffd_mode_ = os::UserfaultMode::kFull;
  BarrierTier wanted_ = BarrierTier::kAuto;
  std::atomic<BarrierTier> tier_{BarrierTier::kNone};
  std::atomic<bool> shared_{false};
  bool refused_modes_[2] = {};  // by UserfaultMode: the kernel said no, do not ask at every pass
  bool asked_for_membarrier_ = false;
  int process_ = 0;
  uint32_t epoch_ = 0;

  bool active_ = false;  // between Begin() and Finish()
  os::SignalMask signals_before_ = 0;
  int refused_index_ = -1;
  size_t count_ = 0;
  Range ranges_[kMaxRanges];
  uintptr_t windows_[kMaxRanges] = {};
  SpareMemory spare_;  // kSegv
  State states_[kMaxRanges] = {};
  uint16_t order_[kMaxRanges] = {};  // indices by rising address
};

}  // namespace mesh
