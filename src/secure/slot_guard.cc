// See slot_guard.h.
#include "src/secure/slot_guard.h"

#include <cstring>

#include "src/base/check.h"
#include "src/secure/canary.h"

namespace mesh {

constinit SecurePolicy secure_policy;

namespace {

MESH_ALWAYS_INLINE bool IsEndWhole(char* behind, size_t bytes) {
  if (bytes <= SlotEnd::kMostBytes) return SlotEnd(behind).IsCanary(bytes);
  return Canary::IsWhole(behind - bytes, bytes);
}

void FillEnd(char* behind, size_t bytes) {
  if (bytes <= SlotEnd::kMostBytes) return SlotEnd(behind).Fill(bytes);
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

void SlotGuard::SetSlack(std::atomic<uint8_t>* state, SizeClass size_class, size_t slack) {
  if (slack <= kMostShort && SlotSize(size_class) <= kUsualSlot) {
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
  if (MESH_LIKELY(IsWholeBefore(object))) return;
  if (looks_before_.load(std::memory_order_relaxed)) RefuseBefore(object);
}

void SlotGuard::RequireUntouched(const void* slot, SizeClass size_class) {
  if (!secure_policy.clears) return;
  const size_t before_end = SlotSize(size_class) - SlotEnd::kMostBytes;
  if (!IsFreeSlot(slot, before_end, SlotEnd(Behind(slot, size_class)))) RefuseTouched(slot);
}

void SlotGuard::Hand(void* slot, SizeClass size_class, size_t size, bool zeroed) {
  std::atomic<uint8_t>* state = StateOf(slot);
  const bool is_fresh = state->load(std::memory_order_relaxed) == 0;
  if (secure_policy.clears && !is_fresh) {
    RequireUntouched(slot, size_class);
  } else if (secure_policy.clears || zeroed) {
    memset(slot, 0, size);
  }
  const size_t slack = SlotSize(size_class) - size;
  FillEnd(Behind(slot, size_class), slack);
  SetSlack(state, size_class, slack);
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
  const uint8_t seen = state->load(std::memory_order_relaxed);
  if (MarkFreed(state, seen)) RefuseSecond(object);
  const size_t slack = SlackOf(state);
  if (slack > 0) {
    RequireEnd(object, size_class, slack);
    RequireBefore(object);
  }
  if (seen & kLong) state[1].store(0, std::memory_order_relaxed);  // [SG1]
  Empty(object, size_class);
}

void SlotGuard::Empty(void* slot, SizeClass size_class) {
  if (secure_policy.clears) memset(slot, 0, SlotSize(size_class) - 1);
  Canary::Fill(Behind(slot, size_class) - 1, 1);
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
  if (old_slack > kMostShort) state[1].store(0, std::memory_order_relaxed);  // [SG1]
  SetSlack(state, size_class, SlotSize(size_class) - size);
}

void SlotGuard::Start(void* span, SizeClass size_class, uint32_t units, bool dirty) {
  const SizeClassInfo& info = kSizeClasses[size_class];
  const size_t unit_bytes = size_t{info.unit_pages} << kPageShift;
  if (secure_policy.clears && info.size <= kUsualSlot) {
    if (dirty) memset(span, 0, units * unit_bytes);
  } else {
    for (uint32_t i = 0; i < units; i++) {
      const char* slot = static_cast<char*>(span) + i * unit_bytes;
      for (uint32_t k = 0; k < info.slots; k++, slot += info.size) {
        StateOf(slot)->store(0, std::memory_order_relaxed);
      }
    }
  }
  Prepare(span, size_class, units);
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
