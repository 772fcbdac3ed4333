// SyscallBuffers: the memory that threads have lent to the kernel, so that the mesher leaves it
// alone.
//
// In the barrier's lower tiers a system call that stores into a protected page fails with EFAULT,
// and what it had already consumed (a datagram, a count, a wait status) is lost; it cannot be
// retried. So an interposed libc call publishes its buffers before it enters the kernel and
// withdraws them after. Publisher and mesher agree as Dekker's algorithm does:
//
//     thread                                   mesher
//     write the buffers into its record        closed_ = odd, bounds
//     (light barrier)                          (heavy barrier: membarrier on all threads)
//     read closed_: odd and within bounds?     read all records: excludes what they name
//       withdraw, sleep until open, again      protects the rest
//
// One of the two sees the other. In the full tier nothing of this is needed: enabled() is false.
// Room: meshing; the front's interposed calls use it. Allocates from the kernel alone; no locks, so
// that signal handlers may publish as well.
//
// [P1] A record's entries below its count, or all memory when the count exceeds kMaxBuffers, are in
//      use by the kernel or about to be.
// [P2] While closed_ is odd, a thread that enters the kernel has no buffer within the bounds,
//      unless the mesher saw it in the record.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>

#include "src/meshing/range.h"

namespace mesh {

class SyscallBuffers {
 public:
  // Standing loans of the process.
  static constexpr uint32_t kMaxStanding = 64;
  // Buffers of one thread at a time; more (a longer iovec, handlers within handlers) count as all
  // memory.
  static constexpr uint32_t kMaxBuffers = 8;

  class Record;

  constexpr SyscallBuffers() = default;
  SyscallBuffers(const SyscallBuffers&) = delete;
  SyscallBuffers& operator=(const SyscallBuffers&) = delete;

  // A record for the calling thread, or null when there is no memory: Publish() takes null, and
  // nothing is meshed meanwhile. Release() when the thread ends.
  Record* Acquire();
  void Release(Record* record);

  // Makes publishing cheap: without this, each Publish() has a full fence. Once, early.
  // Returns false when the kernel has no membarrier.
  bool UseMembarrier();

  // Whether calls have to publish, and the mesher may rely on it. False until Enable().
  bool enabled() const {
    // order: relaxed; Enable() comes before all threads, and after Disable() a published buffer is
    // merely superfluous.
    return enabled_.load(std::memory_order_relaxed);
  }

  // Every system call that stores into user memory is published from now on. Once, while the
  // process has one thread.
  void Enable();

  // The full tier is in use from now on. There is no way back within the process: who was in the
  // kernel before would not be in the records.
  void Disable();

  // Lends `buffers` to the kernel, in addition to what an interrupted call of this thread has lent.
  // Returns a token for Withdraw(). Waits while one of them is being meshed.
  uint32_t Publish(Record* record, std::span<const Range> buffers);
  void Withdraw(Record* record, uint32_t token);

  // Lends a range until EndStanding(): memory that the kernel stores into between calls, or
  // (kPinned) that has to stay where it is in every tier. Waits while it is being meshed in a lower
  // tier. Returns false when the table of these is full. A fork's child keeps them.
  enum class Standing : uint8_t { kLent, kPinned };
  bool LendStanding(Range range, Standing kind = Standing::kLent);
  // Ends it, if one was lent that begins at `address`.
  void EndStanding(uintptr_t address);

  // Mesher, one at a time: from here on no thread lends memory within [low, high) to the kernel
  // that Overlaps() does not know. Returns false, and nothing is closed, when membarrier fails.
  bool Close(uintptr_t low, uintptr_t high);

  // Whether a buffer in use touches the range. Between Close() and Open().
  bool Overlaps(Range range) const;

  // Whether a pinned one does; at any time. HasPinned(): whether there are any.
  bool IsPinned(Range range) const { return IsStanding(range, Standing::kPinned); }
  bool HasPinned() const {
    // order: relaxed; what is pinned during a pass is not in need of it yet.
    return pinned_count_.load(std::memory_order_relaxed) != 0;
  }

  // Lets waiting publishers go on.
  void Open();

  // In a fork's child: of all records, only `own` lives on (without it, all do, empty). If the
  // front publishes, that is enabled again: nobody is in the kernel.
  void AfterForkInChild(Record* own);

 private:
  struct Chunk;

  static bool Intersects(std::span<const Range> buffers, uintptr_t low, uintptr_t high);
  bool IsStanding(Range range, Standing least) const;
  bool MustWait(std::span<const Range> buffers, uint32_t closed) const;
  Record* TakeFree();
  bool AddChunk();

  std::atomic<Chunk*> chunks_{nullptr};
  std::atomic<uint32_t> closed_{0};  // odd: closed; the bounds below hold while it stays the same
  std::atomic<uintptr_t> low_{0};
  std::atomic<uintptr_t> high_{0};
  std::atomic<uint32_t> standing_count_{0};
  std::atomic<uintptr_t> standing_address_[kMaxStanding] = {};  // 0: free
  std::atomic<size_t> standing_length_[kMaxStanding] = {};      // 0: not there yet, or no more
  std::atomic<Standing> standing_kind_[kMaxStanding] = {};
  std::atomic<uint32_t> pinned_count_{0};
  std::atomic<uint32_t> unrecorded_{0};  // calls in progress of threads without a record
  std::atomic<bool> enabled_{false};
  bool is_front_publishing_ = false;
  std::atomic<bool> light_{false};  // publishers need no fence: the mesher makes one for them
};

// Publishes for the length of a scope: around the system call of an interposed function.
class PublishedBuffers {
 public:
  PublishedBuffers(SyscallBuffers& buffers, SyscallBuffers::Record* record,
                   std::span<const Range> ranges)
      : buffers_(buffers), record_(record), active_(buffers.enabled()) {
    if (active_) token_ = buffers_.Publish(record_, ranges);
  }
  ~PublishedBuffers() {
    if (active_) buffers_.Withdraw(record_, token_);
  }
  PublishedBuffers(const PublishedBuffers&) = delete;
  PublishedBuffers& operator=(const PublishedBuffers&) = delete;

 private:
  SyscallBuffers& buffers_;
  SyscallBuffers::Record* const record_;
  const bool active_;
  uint32_t token_ = 0;
};

}  // namespace mesh
