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
  const Quarantine::Limits limits = {secure_policy.quarantine_slots,
                                     secure_policy.quarantine_bytes};
  if (limits.slots == 0 || quarantine_ != nullptr) return;
  void* memory = AllocateMetadata(Quarantine::Footprint(limits));
  if (memory != nullptr) quarantine_ = Quarantine::Create(memory, limits);
}

void ThreadLocalHeap::KeepRest(void* slot, SizeClass size_class) {
  SendOldest(size_class);
  vectors_[size_class].Push(slot);
}

void ThreadLocalHeap::RequireUntouched() const {
  if (quarantine_ != nullptr) quarantine_->ForEach(SlotGuard::RequireUntouched);
  for (SizeClass c = 1; c < kClassCount; c++) LookAt({vectors_[c].slots(), vectors_[c].size()}, c);
}

void ThreadLocalHeap::Patrol(SizeClass size_class) {
  if (quarantine_ == nullptr) return;
  quarantine_->ForSome(size_class, kPatrolled, random_, SlotGuard::RequireUntouched);
}

// All that the thread keeps back goes to the vectors' way out.
void ThreadLocalHeap::DrainQuarantine(bool lenient) {
  if (quarantine_ == nullptr) return;
  quarantine_->Drain([&](void* slot, SizeClass size_class) {
    if (!lenient) SlotGuard::RequireUntouched(slot, size_class);
    global_->size_class_heap(size_class)
        .Release(
            &slot, 1, [] {}, lenient);
  });
}

void ThreadLocalHeap::LookAt(std::span<void* const> slots, SizeClass size_class) {
  if (secure_policy.has_states <= 0) return;
  for (void* slot : slots) {
    if (SlotGuard::IsFreed(slot)) SlotGuard::RequireUntouched(slot, size_class);
  }
}

}  // namespace mesh
