// ThreadLocalHeap, the half for hardened heaps: slots without marks, whose states SlotGuard keeps.
#include "src/arena/metadata.h"
#include "src/base/check.h"
#include "src/local/thread_local_heap.h"
#include "src/secure/slot_guard.h"

namespace mesh {

// Slots that are looked at when others are fetched: so that what was written to is found though
// the thread frees nothing more.
constexpr uint32_t kPatrolled = 8;

void ThreadLocalHeap::StartHardened() {
  if (secure_policy.quarantine_slots == 0 || quarantine_ != nullptr) return;
  void* memory = AllocateMetadata(Quarantine::Footprint(secure_policy.quarantine_slots));
  if (memory == nullptr) return;
  quarantine_ =
      Quarantine::Create(memory, secure_policy.quarantine_slots, secure_policy.quarantine_bytes);
}

bool ThreadLocalHeap::KeepForUse(Quarantine::Kept kept) {
  ShuffleVector& vector = VectorOf(kept.entry());
  const bool is_full = vector.is_full();
  if (is_full) SendOldest(kept.entry().size_class());
  vector.Push(kept.slot());
  return is_full;
}

bool ThreadLocalHeap::KeepRest(Quarantine::Kept rest) {
  bool has_sent = !rest.is_none() && KeepForUse(rest);
  while (quarantine_ != nullptr && quarantine_->over_full()) {
    has_sent |= KeepForUse(quarantine_->Shrink(random_));
  }
  return has_sent;
}

void ThreadLocalHeap::RequireUntouched() const {
  if (quarantine_ != nullptr) quarantine_->ForEach(SlotGuard::RequireUntouched);
  for (SizeClass c = 1; c < kClassCount; c++) {
    for (uint32_t i = 0; i < vectors_[c].size(); i++) {
      void* slot = vectors_[c].slots()[i];
      if (SlotGuard::IsFreed(slot)) SlotGuard::RequireUntouched(slot, c);
    }
  }
}

void ThreadLocalHeap::Patrol() {
  if (quarantine_ == nullptr) return;
  quarantine_->ForSome(kPatrolled, random_, SlotGuard::RequireUntouched);
}

// All that the thread keeps back goes to the vectors' way out.
void ThreadLocalHeap::DrainQuarantine(bool lenient) {
  if (quarantine_ == nullptr) return;
  quarantine_->Drain([&](void* slot, SizeClass size_class) {
    SettleAll(&slot, 1, size_class, lenient);
    global_->size_class_heap(size_class)
        .Release(
            &slot, 1, [] {}, lenient);
  });
}

void ThreadLocalHeap::SettleAll(void* const* slots, uint32_t count, SizeClass size_class,
                                bool lenient) {
  if (secure_policy.has_states <= 0) return;
  if (!lenient) return SlotGuard::Settle(slots, count, size_class);
  for (uint32_t i = 0; i < count; i++) SlotGuard::Forget(slots[i], size_class);
}

}  // namespace mesh
