// See slot_guard.h.
#include "src/secure/slot_guard.h"

#include <bit>
#include <cstring>

#include "src/base/check.h"
#include "src/secure/canary.h"

namespace mesh {

constinit SecurePolicy secure_policy;

namespace {

static_assert(std::endian::native == std::endian::little);

constexpr size_t kLow = 16;

// See HandWhole().
constinit std::atomic<bool> looks_before{true};

bool IsZero(const void* at, size_t bytes) {
  auto* words = static_cast<const char*>(at);
  uint64_t any = 0;
  size_t done = 0;
  for (; done + sizeof(any) <= bytes; done += sizeof(any)) {
    uint64_t word;
    memcpy(&word, words + done, sizeof(word));
    any |= word;
  }
  for (; done < bytes; done++) any |= static_cast<uint8_t>(words[done]);
  return any == 0;
}

// The last `bytes` of a slot, at most 16, as two words of which the rest is not looked at.
struct End {
  uint64_t low;
  uint64_t high;

  static MESH_ALWAYS_INLINE End Load(const char* behind) {
    End end;
    memcpy(&end, behind - sizeof(End), sizeof(End));
    return end;
  }
  static MESH_ALWAYS_INLINE End Mask(size_t bytes) {
    const uint64_t all = ~uint64_t{0};
    if (bytes <= 8) return {0, all << (64 - 8 * bytes)};
    return {all << (128 - 8 * bytes), all};
  }
  static MESH_ALWAYS_INLINE End Expected(const char* behind) {
    return Load(reinterpret_cast<const char*>(Canary::BytesFor(behind - sizeof(End))) +
                sizeof(End));
  }
};

MESH_ALWAYS_INLINE bool IsEndWhole(const char* behind, size_t bytes) {
  if (MESH_UNLIKELY(bytes > sizeof(End) || bytes == 0)) {
    return Canary::IsWhole(behind - bytes, bytes);
  }
  const End is = End::Load(behind);
  const End wanted = End::Expected(behind);
  const End mask = End::Mask(bytes);
  return (((is.low ^ wanted.low) & mask.low) | ((is.high ^ wanted.high) & mask.high)) == 0;
}

// What is before the canary stays as it is.
MESH_ALWAYS_INLINE void FillEnd(char* behind, size_t bytes) {
  if (MESH_UNLIKELY(bytes > sizeof(End) || bytes == 0)) return Canary::Fill(behind - bytes, bytes);
  const End wanted = End::Expected(behind);
  const End mask = End::Mask(bytes);
  End end = End::Load(behind);
  end.low = (end.low & ~mask.low) | (wanted.low & mask.low);
  end.high = (end.high & ~mask.high) | (wanted.high & mask.high);
  memcpy(behind - sizeof(End), &end, sizeof(End));
}

// Another thread's slot, who may be writing the same canary there again. [SG2]
__attribute__((no_sanitize("thread"))) uint8_t LastOfSlot(const uint8_t* at) { return *at; }

size_t SlotSize(SizeClass size_class) { return kSizeClasses[size_class].size; }

char* Behind(const void* slot, SizeClass size_class) {
  return static_cast<char*>(const_cast<void*>(slot)) + SlotSize(size_class);
}

}  // namespace

// order: relaxed, in all of this file but for the exchange; a slot is one thread's.

size_t SlotGuard::SlackOf(const std::atomic<uint8_t>* state, SizeClass size_class) {
  const uint8_t first = state[0].load(std::memory_order_relaxed) & ~kFreed;
  if (!secure_policy.has_canaries || first == kWhole) return 0;
  size_t low = first - 1u;
  size_t high = SlotSize(size_class) > kLow ? state[1].load(std::memory_order_relaxed) : 0;
  return high * kLow + low + 1;
}

// The state of an object with so much slack, 1 to kMostSlack bytes of it.
void SlotGuard::SetSlack(std::atomic<uint8_t>* state, SizeClass size_class, size_t slack) {
  size_t less = slack > 0 ? slack - 1 : 0;
  if (SlotSize(size_class) > kLow) {
    state[1].store(static_cast<uint8_t>(less / kLow), std::memory_order_relaxed);
  }
  state[0].store(static_cast<uint8_t>(less % kLow + 1), std::memory_order_relaxed);
}

bool SlotGuard::IsUntouched(const void* slot, SizeClass size_class, size_t slack) {
  return IsZero(slot, SlotSize(size_class) - slack) && IsEndWhole(Behind(slot, size_class), slack);
}

void SlotGuard::RequireUntouched(const void* slot, SizeClass size_class) {
  if (!secure_policy.clears) return;
  if (!IsUntouched(slot, size_class, SlackOf(StateOf(slot), size_class))) {
    FatalAt("an object was written to after it was freed", slot);
  }
}

void SlotGuard::Hand(void* slot, SizeClass size_class, size_t size, bool zeroed) {
  std::atomic<uint8_t>* state = StateOf(slot);
  const size_t slack = SlotSize(size_class) - size;
  size_t clear_from = secure_policy.clears || zeroed ? 0 : size;
  if (!secure_policy.has_canaries) {
    if (zeroed) memset(slot, 0, size);
    return SetSlack(state, size_class, 0);
  }
  if (secure_policy.clears && state->load(std::memory_order_relaxed) != 0) {  // [SG3]
    const size_t old_slack = SlackOf(state, size_class);
    if (MESH_UNLIKELY(!IsUntouched(slot, size_class, old_slack))) {
      FatalAt("an object was written to after it was freed", slot);
    }
    if (old_slack == slack) return SetSlack(state, size_class, slack);
    clear_from = SlotSize(size_class) - old_slack;
  }
  if (clear_from < size) memset(static_cast<char*>(slot) + clear_from, 0, size - clear_from);
  FillEnd(static_cast<char*>(slot) + SlotSize(size_class), slack);
  SetSlack(state, size_class, slack);
}

bool SlotGuard::IsFirstOfSpan(const void* object) {
  auto address = reinterpret_cast<uintptr_t>(object);
  return address % kPageSize == 0 && PageMap::Find(address).page_in_span() == 0;
}

void SlotGuard::RequireCanary(const void* object, SizeClass size_class, size_t slack) {
  if (MESH_UNLIKELY(!IsEndWhole(Behind(object, size_class), slack))) {
    FatalAt("a write beyond the end of an object", object);
  }
  auto* before = static_cast<const uint8_t*>(object) - 1;
  if (MESH_UNLIKELY(IsFirstOfSpan(object))) return;
  if (!looks_before.load(std::memory_order_relaxed)) return;
  if (MESH_UNLIKELY(LastOfSlot(before) != Canary::At(reinterpret_cast<uintptr_t>(before)))) {
    FatalAt("a write before the start of an object", object);
  }
}

void SlotGuard::RequireInUse(const void* object) {
  uint8_t seen = StateOf(object)->load(std::memory_order_relaxed);
  if (MESH_UNLIKELY(seen == 0)) FatalAt("free of a pointer that is not in use", object);
  if (MESH_UNLIKELY((seen & kFreed) != 0)) FatalAt("double free", object);
}

void SlotGuard::Free(void* object, SizeClass size_class) {
  std::atomic<uint8_t>* state = StateOf(object);
  RequireInUse(object);
  const auto freed = static_cast<uint8_t>(state->load(std::memory_order_relaxed) | kFreed);
  if (MESH_UNLIKELY((state->exchange(freed) & kFreed) != 0)) FatalAt("double free", object);
  if (!secure_policy.has_canaries) return;
  const size_t slack = SlackOf(state, size_class);
  if (MESH_UNLIKELY(slack == 0)) {
    // As if it had been handed out with a canary, now that nobody uses it.
    SetSlack(state, size_class, 1);
    state->store(state->load(std::memory_order_relaxed) | kFreed, std::memory_order_relaxed);
    Canary::Fill(Behind(object, size_class) - 1, 1);
    if (secure_policy.clears) memset(object, 0, SlotSize(size_class) - 1);
    return;
  }
  RequireCanary(object, size_class, slack);
  if (secure_policy.clears) memset(object, 0, SlotSize(size_class) - slack);
}

void SlotGuard::HandWhole(void* slot) {
  StateOf(slot)->store(secure_policy.has_canaries ? kWhole : 1, std::memory_order_relaxed);
  looks_before.store(false, std::memory_order_relaxed);
}

size_t SlotGuard::SizeOf(const void* object, SizeClass size_class) {
  return SlotSize(size_class) - SlackOf(StateOf(object), size_class);
}

void SlotGuard::Resize(void* object, SizeClass size_class, size_t size) {
  if (!secure_policy.has_canaries) return;
  std::atomic<uint8_t>* state = StateOf(object);
  const size_t old_slack = SlackOf(state, size_class);
  if (old_slack == 0) return;  // it stays whole
  const size_t old_size = SlotSize(size_class) - old_slack;
  RequireCanary(object, size_class, old_slack);
  // Nobody is to read canaries.
  if (size > old_size) memset(static_cast<char*>(object) + old_size, 0, size - old_size);
  Canary::Fill(static_cast<char*>(object) + size, SlotSize(size_class) - size);
  SetSlack(state, size_class, SlotSize(size_class) - size);
}

void SlotGuard::Settle(void* slot, SizeClass size_class) {
  // A slot that nobody has had since it came from the global heap has no state.
  if (StateOf(slot)->load(std::memory_order_relaxed) == 0) return;
  RequireUntouched(slot, size_class);
  Forget(slot, size_class);
}

void SlotGuard::Forget(void* slot, SizeClass size_class) {
  std::atomic<uint8_t>* state = StateOf(slot);
  // Another class's slot may come to start at the second.
  if (SlotSize(size_class) > kLow) state[1].store(0, std::memory_order_relaxed);
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
