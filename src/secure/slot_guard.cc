// See slot_guard.h.
#include "src/secure/slot_guard.h"

#include <cstring>

#include "src/base/check.h"
#include "src/secure/canary.h"

namespace mesh {

constinit SecurePolicy secure_policy;

namespace {

// Slots whose memory is asked for before it is looked at.
constexpr uint32_t kLooksAhead = 8;

// Any address and length.
bool IsZero(const char* at, size_t bytes) {
  const size_t blocks = bytes & ~(SlotEnd::kMostBytes - 1);
  uint8_t any = 0;
  for (size_t i = blocks; i < bytes; i++) any |= static_cast<uint8_t>(at[i]);
  return any == 0 && AreZeroBlocks(at, blocks);
}

MESH_ALWAYS_INLINE bool IsEndWhole(char* behind, size_t bytes) {
  if (bytes <= SlotEnd::kMostBytes) return SlotEnd(behind, bytes).IsCanary();
  return Canary::IsWhole(behind - bytes, bytes);
}

void FillEnd(char* behind, size_t bytes) {
  if (bytes <= SlotEnd::kMostBytes) return SlotEnd(behind, bytes).Fill();
  Canary::Fill(behind - bytes, bytes);
}

}  // namespace

// order: relaxed, in all of this file; a slot is one thread's.

constinit std::atomic<bool> SlotGuard::looks_before_{true};
constinit std::atomic<bool> SlotGuard::has_threads_{false};

MESH_ALWAYS_INLINE size_t SlotGuard::SlackOf(const std::atomic<uint8_t>* state) {
  const uint8_t first = state[0].load(std::memory_order_relaxed) & ~kFreed;
  if (MESH_LIKELY(IsShort(first))) return first;
  if (first == kWhole) return 0;
  const size_t high = first & ~kLong;
  return (high << 8 | state[1].load(std::memory_order_relaxed)) + 1;
}

void SlotGuard::SetSlack(std::atomic<uint8_t>* state, size_t slack) {
  if (slack <= kMostShort) {
    state[0].store(static_cast<uint8_t>(slack), std::memory_order_relaxed);
    return;
  }
  const size_t less = slack - 1;
  state[1].store(static_cast<uint8_t>(less), std::memory_order_relaxed);
  state[0].store(static_cast<uint8_t>(kLong | less >> 8), std::memory_order_relaxed);
}

void SlotGuard::RequireBefore(const void* object) {
  const auto address = reinterpret_cast<uintptr_t>(object);
  if (IsFirst(object, PageMap::Find(address))) return;
  if (MESH_LIKELY(LastBefore(object) == Canary::At(address - 1))) return;
  if (looks_before_.load(std::memory_order_relaxed)) RefuseBefore(object);
}

MESH_ALWAYS_INLINE bool SlotGuard::IsUntouched(const void* slot, SizeClass size_class,
                                               size_t slack) {
  if (MESH_LIKELY(slack <= SlotEnd::kMostBytes)) {
    return AreZeroBlocks(slot, SlotSize(size_class) - SlotEnd::kMostBytes) &&
           SlotEnd(Behind(slot, size_class), slack).IsCanaryBehindZeros();
  }
  const size_t zeros = SlotSize(size_class) - slack;
  return IsZero(static_cast<const char*>(slot), zeros) &&
         IsEndWhole(Behind(slot, size_class), slack);
}

MESH_ALWAYS_INLINE void SlotGuard::LookAt(const void* slot, SizeClass size_class) {
  if (!secure_policy.clears) return;
  const bool is_untouched = IsUntouched(slot, size_class, SlackOf(StateOf(slot)));
  if (MESH_UNLIKELY(!is_untouched)) RefuseTouched(slot);
}

void SlotGuard::RequireUntouched(const void* slot, SizeClass size_class) {
  LookAt(slot, size_class);
}

void SlotGuard::Hand(void* slot, SizeClass size_class, size_t size, bool zeroed) {
  std::atomic<uint8_t>* state = StateOf(slot);
  const size_t slack = SlotSize(size_class) - size;
  size_t clear_from = secure_policy.clears || zeroed ? 0 : size;
  if (secure_policy.clears && state->load(std::memory_order_relaxed) != 0) {  // [SG3]
    RequireUntouched(slot, size_class);
    clear_from = SlotSize(size_class) - SlackOf(state);
  }
  if (clear_from < size) memset(static_cast<char*>(slot) + clear_from, 0, size - clear_from);
  FillEnd(Behind(slot, size_class), slack);
  SetSlack(state, slack);
}

void SlotGuard::RequireEnd(void* object, SizeClass size_class, size_t slack) {
  if (!IsEndWhole(Behind(object, size_class), slack)) RefuseEnd(object);
}

void SlotGuard::RefuseEnd(const void* object) {
  FatalAt("a write beyond the end of an object", object);
}

void SlotGuard::RefuseBefore(const void* object) {
  FatalAt("a write before the start of an object", object);
}

void SlotGuard::RefuseTouched(const void* slot) {
  FatalAt("an object was written to after it was freed", slot);
}

void SlotGuard::RefuseSecond(const void* object) { FatalAt("double free", object); }

void SlotGuard::RequireInUse(const void* object) {
  uint8_t seen = StateOf(object)->load(std::memory_order_relaxed);
  if (MESH_UNLIKELY(seen == 0)) FatalAt("free of a pointer that is not in use", object);
  if (MESH_UNLIKELY((seen & kFreed) != 0)) RefuseSecond(object);
}

void SlotGuard::Free(void* object, SizeClass size_class) {
  std::atomic<uint8_t>* state = StateOf(object);
  RequireInUse(object);
  if (MarkFreed(state, state->load(std::memory_order_relaxed))) RefuseSecond(object);
  const size_t slack = SlackOf(state);
  if (slack == 0) {
    // As if it had been handed out with a canary, now that nobody uses it. At no time is it in use.
    state->store(kFreed | 1, std::memory_order_relaxed);
    Canary::Fill(Behind(object, size_class) - 1, 1);
    if (secure_policy.clears) memset(object, 0, SlotSize(size_class) - 1);
    return;
  }
  RequireEnd(object, size_class, slack);
  RequireBefore(object);
  if (secure_policy.clears) memset(object, 0, SlotSize(size_class) - slack);
}

void SlotGuard::HandWhole(void* slot) {
  StateOf(slot)->store(kWhole, std::memory_order_relaxed);
  looks_before_.store(false, std::memory_order_relaxed);
}

size_t SlotGuard::SizeOf(const void* object, SizeClass size_class) {
  return SlotSize(size_class) - SlackOf(StateOf(object));
}

void SlotGuard::Resize(void* object, SizeClass size_class, size_t size) {
  std::atomic<uint8_t>* state = StateOf(object);
  const size_t old_slack = SlackOf(state);
  if (old_slack == 0) return;  // it stays whole
  const size_t old_size = SlotSize(size_class) - old_slack;
  RequireEnd(object, size_class, old_slack);
  RequireBefore(object);
  // Nobody is to read canaries.
  if (size > old_size) memset(static_cast<char*>(object) + old_size, 0, size - old_size);
  Canary::Fill(static_cast<char*>(object) + size, SlotSize(size_class) - size);
  SetSlack(state, SlotSize(size_class) - size);
}

void SlotGuard::Settle(void* const* slots, uint32_t count, SizeClass size_class) {
  for (uint32_t i = 0; i < count; i++) {
    void* slot = slots[i];
    if (i + kLooksAhead < count) PrefetchOne(slots[i + kLooksAhead]);
    // A slot that nobody has had since it came from the global heap has no state.
    if (StateOf(slot)->load(std::memory_order_relaxed) == 0) continue;
    LookAt(slot, size_class);
    Forget(slot, size_class);
  }
}

void SlotGuard::Forget(void* slot, SizeClass size_class) {
  std::atomic<uint8_t>* state = StateOf(slot);
  // Another class's slot may come to start at the second.
  if (SlotSize(size_class) > kMostShort) state[1].store(0, std::memory_order_relaxed);
  state[0].store(0, std::memory_order_relaxed);
}

void SlotGuard::Prepare(void* address, SizeClass size_class, uint32_t units) {
  const SizeClassInfo& info = kSizeClasses[size_class];
  char* unit = static_cast<char*>(address);
  for (uint32_t i = 0; i < units; i++, unit += size_t{info.unit_pages} << kPageShift) {
    char* end = unit + info.size;
    for (uint32_t slot = 0; slot < info.slots; slot++, end += info.size) Canary::Fill(end - 1, 1);
    Canary::Fill(unit + size_t{info.slots} * info.size, info.unit_tail);
  }
}

}  // namespace mesh
