// See published.h.
#include "src/meshing/published.h"

#include "src/base/check.h"
#include "src/base/futex.h"
#include "src/base/units.h"
#include "src/os/memory.h"
#include "src/os/probe.h"
#include "src/os/process.h"

namespace mesh {

class alignas(64) SyscallBuffers::Record {
 public:
  uint32_t count() const {
    // order: acquire; pairs with the release in set_count(). A mesher that sees a withdrawal also
    // sees what the kernel stored into the buffer.
    return count_.load(std::memory_order_acquire);
  }
  void set_count(uint32_t count) {
    // order: release; see count().
    count_.store(count, std::memory_order_release);
  }

  // order: relaxed for the entries; the barriers of Publish() and Close() order them, and a torn
  // entry is one whose publisher will see that the mesher has closed.
  void Set(uint32_t index, Range range) {
    address_[index].store(range.address, std::memory_order_relaxed);
    length_[index].store(range.length, std::memory_order_relaxed);
  }
  Range Get(uint32_t index) const {
    return {address_[index].load(std::memory_order_relaxed),
            length_[index].load(std::memory_order_relaxed)};
  }

  bool TryTake() {
    // order: acquire; pairs with the release in Free(): the last owner's entries are gone.
    return !taken_.load(std::memory_order_relaxed) &&
           !taken_.exchange(true, std::memory_order_acquire);
  }
  void Free() {
    set_count(0);
    // order: release; see TryTake().
    taken_.store(false, std::memory_order_release);
  }

 private:
  std::atomic<uint32_t> count_{0};
  std::atomic<bool> taken_{false};
  std::atomic<uintptr_t> address_[kMaxBuffers] = {};
  std::atomic<size_t> length_[kMaxBuffers] = {};
};

// A page of records, never given back: a mesher may be reading it.
struct SyscallBuffers::Chunk {
  static constexpr size_t kRecords = (kPageSize - 64) / sizeof(Record);

  Chunk* next;
  Record records[kRecords];
};

SyscallBuffers::Record* SyscallBuffers::TakeFree() {
  // order: acquire; pairs with the release in AddChunk(): the chunk's fields.
  for (Chunk* chunk = chunks_.load(std::memory_order_acquire); chunk != nullptr;
       chunk = chunk->next) {
    for (Record& record : chunk->records) {
      if (record.TryTake()) return &record;
    }
  }
  return nullptr;
}

bool SyscallBuffers::AddChunk() {
  static_assert(sizeof(Chunk) <= kPageSize);
  os::Result<uintptr_t> page = os::MapAnonymous(kPageSize);
  if (!page.ok()) return false;
  // Zeros are a chunk of free records.
  Chunk* chunk = reinterpret_cast<Chunk*>(page.value);
  chunk->next = chunks_.load(std::memory_order_relaxed);
  // order: release; pairs with the acquires of all who walk the chunks.
  while (!chunks_.compare_exchange_weak(chunk->next, chunk, std::memory_order_release,
                                        std::memory_order_relaxed)) {
  }
  return true;
}

SyscallBuffers::Record* SyscallBuffers::Acquire() {
  Record* record = TakeFree();
  while (record == nullptr && AddChunk()) record = TakeFree();
  return record;
}

void SyscallBuffers::Release(Record* record) {
  if (record != nullptr) record->Free();
}

bool SyscallBuffers::UseMembarrier() {
  if (os::UnusualCallsMayKill()) {
    os::Result<int> tried =
        os::ProbeInChild([](void*) { return os::RegisterMembarrier().ok() ? 0 : 1; }, nullptr);
    if (!tried.ok() || tried.value != 0) return false;
  }
  if (!os::RegisterMembarrier().ok() || !os::MembarrierAll().ok()) return false;
  // order: release; a publisher that sees it leaves out its fence, and the mesher's calls of
  // membarrier come after the registration.
  light_.store(true, std::memory_order_release);
  return true;
}

void SyscallBuffers::Enable() {
  is_front_publishing_ = true;
  // order: relaxed; see enabled().
  enabled_.store(true, std::memory_order_relaxed);
}

void SyscallBuffers::Disable() {
  // order: relaxed; see enabled().
  enabled_.store(false, std::memory_order_relaxed);
}

bool SyscallBuffers::Intersects(std::span<const Range> buffers, uintptr_t low, uintptr_t high) {
  for (const Range& buffer : buffers) {
    if (buffer.Intersects(low, high)) return true;
  }
  return false;
}

bool SyscallBuffers::MustWait(std::span<const Range> buffers, uint32_t closed) const {
  // order: relaxed for the bounds; valid if closed_ is still the same after reading them, which the
  // acquire fence puts in order. Pairs with the release of closed_ in Open() and Close().
  const uintptr_t low = low_.load(std::memory_order_relaxed);
  const uintptr_t high = high_.load(std::memory_order_relaxed);
  std::atomic_thread_fence(std::memory_order_acquire);
  if (closed_.load(std::memory_order_relaxed) != closed) return true;  // look again
  return Intersects(buffers, low, high);
}

uint32_t SyscallBuffers::Publish(Record* record, std::span<const Range> buffers) {
  while (true) {
    uint32_t token = 0;
    if (record == nullptr) {
      // order: seq_cst; pairs with the heavy barrier in Close(), like the fence below.
      unrecorded_.fetch_add(1, std::memory_order_seq_cst);
    } else {
      token = record->count();
      const size_t wanted = token + buffers.size();
      const bool fits = wanted <= kMaxBuffers;
      // The places are taken before they are written: a signal handler that publishes in between
      // takes the ones behind.
      record->set_count(fits ? static_cast<uint32_t>(wanted) : kMaxBuffers + 1);
      for (size_t i = 0; fits && i < buffers.size(); i++) {
        record->Set(static_cast<uint32_t>(token + i), buffers[i]);
      }
    }
    // order: with light_ the mesher's membarrier is the fence on this side as well.
    if (light_.load(std::memory_order_relaxed)) {
      std::atomic_signal_fence(std::memory_order_seq_cst);
    } else {
      std::atomic_thread_fence(std::memory_order_seq_cst);
    }
    // order: acquire; pairs with the release in Close(): the bounds.
    const uint32_t closed = closed_.load(std::memory_order_acquire);
    if ((closed & 1) == 0 || !MustWait(buffers, closed)) return token;
    Withdraw(record, token);
    FutexWait(closed_, closed);
  }
}

void SyscallBuffers::Withdraw(Record* record, uint32_t token) {
  if (record == nullptr) {
    // order: release; as Record::set_count().
    unrecorded_.fetch_sub(1, std::memory_order_release);
  } else {
    record->set_count(token);
  }
}

bool SyscallBuffers::IsStanding(Range range, Standing least) const {
  for (uint32_t i = 0; i < kMaxStanding; i++) {
    // order: acquire; pairs with the release in LendStanding(): the address and the kind.
    const size_t length = standing_length_[i].load(std::memory_order_acquire);
    if (standing_kind_[i].load(std::memory_order_relaxed) < least) continue;
    const Range lent = {standing_address_[i].load(std::memory_order_relaxed), length};
    if (lent.Intersects(range.address, range.end())) return true;
  }
  return false;
}

bool SyscallBuffers::LendStanding(Range range, Standing kind) {
  for (uint32_t i = 0; i < kMaxStanding; i++) {
    uintptr_t none = 0;
    // order: acquire; pairs with the release in EndStanding(): the length is 0.
    if (!standing_address_[i].compare_exchange_strong(
            none, range.address, std::memory_order_acquire, std::memory_order_relaxed)) {
      continue;
    }
    // order: relaxed; a hint for the thread that will end it.
    standing_count_.fetch_add(1, std::memory_order_relaxed);
    // order: relaxed; see HasPinned(), and the release below for the kind.
    if (kind == Standing::kPinned) pinned_count_.fetch_add(1, std::memory_order_relaxed);
    standing_kind_[i].store(kind, std::memory_order_relaxed);
    // order: release; see IsStanding().
    standing_length_[i].store(range.length, std::memory_order_release);
    // A pass that has not seen it ends before this comes back; all later ones see it.
    Withdraw(nullptr, Publish(nullptr, {&range, 1}));
    return true;
  }
  return false;
}

void SyscallBuffers::EndStanding(uintptr_t address) {
  if (address == 0 || standing_count_.load(std::memory_order_relaxed) == 0) return;
  for (uint32_t i = 0; i < kMaxStanding; i++) {
    // order: relaxed; only who has lent it ends it.
    if (standing_address_[i].load(std::memory_order_relaxed) != address) continue;
    if (standing_kind_[i].load(std::memory_order_relaxed) == Standing::kPinned) {
      pinned_count_.fetch_sub(1, std::memory_order_relaxed);
    }
    // order: release; as Record::set_count(), and see LendStanding().
    standing_length_[i].store(0, std::memory_order_release);
    standing_address_[i].store(0, std::memory_order_release);
    standing_count_.fetch_sub(1, std::memory_order_relaxed);
    return;
  }
}

bool SyscallBuffers::Close(uintptr_t low, uintptr_t high) {
  // order: release; pairs with the acquire fence in MustWait(). Who reads a bound of this closing
  // also sees that the one before has ended.
  std::atomic_thread_fence(std::memory_order_release);
  // order: relaxed; published by closed_.
  low_.store(low, std::memory_order_relaxed);
  high_.store(high, std::memory_order_relaxed);
  const uint32_t closed = closed_.load(std::memory_order_relaxed) + 1;
  MESH_DCHECK((closed & 1) == 1);
  // order: release; publishes the bounds to Publish().
  closed_.store(closed, std::memory_order_release);
  // order: seq_cst; pairs with the fence in Publish(), or is the only one of the two.
  std::atomic_thread_fence(std::memory_order_seq_cst);
  if (!light_.load(std::memory_order_relaxed) || os::MembarrierAll().ok()) return true;
  Open();
  return false;
}

bool SyscallBuffers::Overlaps(Range range) const {
  // order: acquire; as Record::count().
  if (unrecorded_.load(std::memory_order_acquire) != 0 || IsStanding(range, Standing::kLent)) {
    return true;
  }
  // order: acquire; pairs with the release in AddChunk().
  for (Chunk* chunk = chunks_.load(std::memory_order_acquire); chunk != nullptr;
       chunk = chunk->next) {
    for (const Record& record : chunk->records) {
      const uint32_t count = record.count();
      if (count > kMaxBuffers) return true;
      for (uint32_t i = 0; i < count; i++) {
        if (record.Get(i).Intersects(range.address, range.end())) return true;
      }
    }
  }
  return false;
}

void SyscallBuffers::Open() {
  // order: release; pairs with the acquire in Publish(): the mesh is complete for who goes on.
  closed_.fetch_add(1, std::memory_order_release);
  FutexWake(closed_, INT32_MAX);
}

void SyscallBuffers::AfterForkInChild(Record* own) {
  // order: relaxed throughout; the child has one thread.
  for (Chunk* chunk = chunks_.load(std::memory_order_relaxed); chunk != nullptr;
       chunk = chunk->next) {
    for (Record& record : chunk->records) {
      if (&record == own) continue;
      record.set_count(0);
      if (own != nullptr) record.Free();
    }
  }
  unrecorded_.store(0, std::memory_order_relaxed);
  if ((closed_.load(std::memory_order_relaxed) & 1) != 0) Open();
  enabled_.store(is_front_publishing_, std::memory_order_relaxed);
}

}  // namespace mesh
