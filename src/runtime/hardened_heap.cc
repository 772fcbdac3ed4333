// See hardened_heap.h.
#include "src/runtime/hardened_heap.h"

#include <atomic>
#include <cstring>

#include "src/arena/page_map.h"
#include "src/global/program_heaps.h"
#include "src/runtime/default_heap.h"
#include "src/runtime/fast_path.h"
#include "src/runtime/heap.h"
#include "src/runtime/misuse.h"
#include "src/runtime/program_hooks.h"
#include "src/runtime/runtime.h"
#include "src/runtime/thread_state.h"
#include "src/secure/canary.h"
#include "src/secure/slot_guard.h"
#include "src/secure/zero_objects.h"
#include "src/sizeclass/size_class.h"

namespace mesh {
namespace {

constexpr char kWrongSize[] = "delete with a size or alignment that the object was not made with";

PageEntry EntryOf(const void* object) { return PageMap::Find(reinterpret_cast<uintptr_t>(object)); }

bool IsSmall(PageEntry entry) {
  return entry.size_class() != kNoClass && entry.size_class() < kClassCount;
}

bool IsStart(const void* object, PageEntry entry) {
  return IsSlotStart(reinterpret_cast<uintptr_t>(object), entry.bits(),
                     kSizeClasses[entry.size_class()].reciprocal);
}

// The class for an object, and what has to be behind it; kNoClass: it is a large one.
SizeClass ClassForHardened(size_t size, size_t alignment) {
  if (size > kMaxSmallSize) return kNoClass;
  SizeClass size_class = AlignedClassFor(size + SlotGuard::kLeastSlack, alignment);
  if (size_class == kNoClass) return kNoClass;
  return kSizeClasses[size_class].size - size <= SlotGuard::kMostSlack ? size_class : kNoClass;
}

// The thread has no free slot of the class, or no heap yet.
MESH_NOINLINE void* TakeSlowly(SizeClass size_class) {
  if (HasSlowPathNews()) RunDeferredFree(false);
  BusyScope busy;
  Runtime& runtime = Runtime::Get();
  ThreadLocalHeap* heap = runtime.AttachThread();
  if (heap == nullptr) return runtime.global().AllocateDirect(size_class);
  heap->Patrol(size_class);
  void* slot = heap->Refill(size_class);
  runtime.OnSlowPath();
  return slot;
}

// Objects of heaps that the program has made, and of those that have ended, have no size of their
// own: all of their pages are the program's.
size_t SizeOf(const LargeObject& record) {
  const size_t all = record.bytes() - record.shift;
  return record.size != 0 ? record.size : all;
}

// Bytes of the last page behind the object; what is behind that is a guard's.
size_t SlackOf(const LargeObject& record) {
  return record.size == 0 ? 0 : record.bytes() - record.size;
}

char* EndOf(void* object, const LargeObject& record) {
  return static_cast<char*>(object) + record.size;
}

void SetLargeSize(void* object, size_t size) {
  LargeObject* record = GlobalHeap::LargeRecord(object);
  record->size = size;
  Canary::Fill(EndOf(object, *record), SlackOf(*record) % Canary::kMostBytes);
}

void RequireWhole(void* object, const LargeObject& record) {
  if (Canary::IsWhole(EndOf(object, record), SlackOf(record) % Canary::kMostBytes)) return;
  FatalAt("a write beyond the end of an object", object);
}

// `room`: bytes by which it may grow in place.
void* AllocateLarge(size_t size, size_t alignment, bool zeroed, size_t room) {
  if (HasSlowPathNews()) RunDeferredFree(false);
  BusyScope busy;
  Runtime& runtime = Runtime::Get();
  zeroed |= secure_policy.clears;
  void* object = runtime.global().AllocateLarge(size, alignment, zeroed, 0, room);
  if (object != nullptr) SetLargeSize(object, size);
  runtime.OnSlowPath();
  return object;
}

void RequireAlignment(const void* object, size_t alignment) {
  if (alignment == 0 || reinterpret_cast<uintptr_t>(object) % alignment == 0) return;
  FatalAt(kWrongSize, object);
}

void RequireSmallSize(const void* object, SizeClass size_class, size_t size, size_t alignment) {
  RequireAlignment(object, alignment);
  if (size == kAnySize) return;
  SlotGuard::RequireInUse(object);
  // One of a heap that has ended has all of its slot, whatever it was made as.
  const size_t room = kSizeClasses[size_class].size;
  const size_t made = SlotGuard::SizeOf(object, size_class);
  const bool fits = made == room ? size <= room : size == made;
  if (!fits) FatalAt(kWrongSize, object);
}

MESH_NOINLINE void KeepRest(ThreadLocalHeap* heap, void* slot, SizeClass size_class) {
  heap->KeepRest(slot, size_class);
  Runtime::Get().OnSlowPath();
}

// The end of each free: what SlotGuard has freed. The thread is busy.
MESH_ALWAYS_INLINE void KeepFreed(ThreadLocalHeap* heap, void* slot, PageEntry entry) {
  void* rest = heap->KeepHardened(slot, entry);
  if (MESH_UNLIKELY(rest != nullptr)) KeepRest(heap, rest, entry.size_class());
}

void FreeSmall(void* object, PageEntry entry, size_t size, size_t alignment) {
  SizeClass size_class = entry.size_class();
  if (!IsStart(object, entry)) {
    FatalAt("free of a pointer into the middle of an object", object);
  }
  if (size != kAnySize || alignment != 0) RequireSmallSize(object, size_class, size, alignment);
  ThreadLocalHeap* heap = OwnHeap();
  if (heap == nullptr) heap = Runtime::Get().AttachThread();
  if (heap == nullptr) {
    SlotGuard::ExpectThreads();
    SlotGuard::Free(object, size_class);
    return Runtime::Get().global().FreeDirect(object, size_class);
  }
  SlotGuard::Free(object, size_class);
  KeepFreed(heap, object, entry);
}

void FreeLarge(void* object, size_t size, size_t alignment) {
  const LargeObject& record = *GlobalHeap::LargeRecord(object);
  RequireAlignment(object, alignment);
  const size_t made = size > 0 ? size : 1;
  if (size != kAnySize && record.size != 0 && made != record.size) FatalAt(kWrongSize, object);
  RequireWhole(object, record);
  Runtime& runtime = Runtime::Get();
  runtime.global().FreeLarge(object);
  runtime.OnSlowPath();
}

[[noreturn]] void RefuseForeign(const void* object) {
  JudgeForeign(object);
  __builtin_unreachable();  // at these levels
}

void* CopyTo(void* object, size_t old_size, size_t size) {
  // What has grown grows again.
  const bool grows =
      size > old_size && size > kMaxSmallSize && thread_state.default_heap == nullptr;
  void* fresh = nullptr;
  if (grows && !IsEnding()) {
    fresh = AllocateLarge(size, kMinAlignment, false, GlobalHeap::GuardedRoom(size));
  }
  if (fresh == nullptr) fresh = HardenedMalloc(size);
  if (fresh == nullptr) return size <= old_size ? object : nullptr;
  memcpy(fresh, object, old_size < size ? old_size : size);
  Free(object);
  return fresh;
}

void* ResizeSmall(void* object, PageEntry entry, size_t size) {
  if (!IsStart(object, entry)) {
    FatalAt("realloc of a pointer into the middle of an object", object);
  }
  SlotGuard::RequireInUse(object);
  SizeClass size_class = entry.size_class();
  const size_t room = kSizeClasses[size_class].size;
  const bool stays = size <= room - SlotGuard::kLeastSlack && size >= room / 2 &&
                     room - size <= SlotGuard::kMostSlack;
  if (!stays) return CopyTo(object, SlotGuard::SizeOf(object, size_class), size);
  SlotGuard::Resize(object, size_class, size);
  return object;
}

void* ResizeLarge(void* object, size_t size) {
  const LargeObject& record = *GlobalHeap::LargeRecord(object);
  RequireWhole(object, record);
  const size_t old_size = SizeOf(record);
  const size_t slack = SlackOf(record);
  const bool is_sized = record.size != 0;
  void* resized = nullptr;
  if (size > kMaxSmallSize) {
    BusyScope busy;
    resized = Runtime::Get().global().ResizeLarge(object, size);
  }
  if (resized == nullptr) return CopyTo(object, old_size, size);
  if (size > old_size) {
    // Nobody is to read canaries; what is behind them was never used.
    const size_t gained = size - old_size;
    memset(static_cast<char*>(resized) + old_size, 0, gained < slack ? gained : slack);
  }
  if (is_sized) SetLargeSize(resized, size);
  return resized;
}

void* AllocateSmall(SizeClass size_class, size_t size, bool zeroed) {
  void* slot = nullptr;
  if (ThreadLocalHeap* heap = OwnHeap(); MESH_LIKELY(heap != nullptr)) {
    slot = heap->TakeHardened(size_class);
  }
  if (MESH_UNLIKELY(slot == nullptr)) slot = TakeSlowly(size_class);
  if (MESH_LIKELY(slot != nullptr)) SlotGuard::Hand(slot, size_class, size, zeroed);
  return slot;
}

void* TryHardened(size_t size, size_t alignment, bool zeroed) {
  void* object = nullptr;
  if (AllocateFromDefault(size, alignment, zeroed, &object)) return object;
  if (MESH_UNLIKELY(size == 0)) {
    if (void* nothing = zero_objects.Allocate(alignment)) return nothing;
  }
  const SizeClass size_class = ClassForHardened(size, alignment);
  if (MESH_UNLIKELY(size_class == kNoClass)) {
    // One of no size has a byte: 0 stands for "all of its pages".
    return AllocateLarge(size > 0 ? size : 1, alignment, zeroed, 0);
  }
  return AllocateSmall(size_class, size, zeroed);
}

// What AllocateQuickly() does not do.
MESH_NOINLINE void* AllocateSlowly(size_t size, bool zeroed) {
  if (!IsHardened()) return zeroed ? Calloc(size) : Malloc(size);
  return HardenedAllocate(size, kMinAlignment, zeroed);
}

MESH_NOINLINE void* HandSlowly(void* slot, SizeClass size_class, size_t size, bool zeroed) {
  SlotGuard::Hand(slot, size_class, size, zeroed);
  return slot;
}

// Nearly all objects are small, and aligned as all are. In a leaf, whose calls are its last.
MESH_ALWAYS_INLINE void* AllocateQuickly(size_t size, bool zeroed) {
  ThreadLocalHeap* heap = thread_state.own_heap;
  const bool is_usual =
      size - 1 < kFastSize - 1 && thread_state.default_heap == nullptr && heap != nullptr;
  if (MESH_UNLIKELY(!is_usual)) return AllocateSlowly(size, zeroed);
  static_assert(kFastSize <= SlotGuard::kUsualSlot);
  const SizeClass size_class = ClassFor(size + SlotGuard::kLeastSlack);
  void* slot = heap->TakeHardened(size_class);
  if (MESH_UNLIKELY(slot == nullptr)) return AllocateSlowly(size, zeroed);
  const bool may_be_any = !zeroed || secure_policy.clears;
  if (MESH_LIKELY(may_be_any && SlotGuard::TryHand(slot, size_class, size))) return slot;
  return HandSlowly(slot, size_class, size, zeroed);
}

MESH_NOINLINE void FreeSlowly(void* object, size_t size, size_t alignment) {
  if (object == nullptr || (HasSlowPathNews() && IsEnding())) return;
  if (!IsHardened()) return Free(object);
  BusyScope busy;
  PageEntry entry = EntryOf(object);
  if (IsSmall(entry)) return FreeSmall(object, entry, size, alignment);
  if (entry.size_class() == kLargeClass) return FreeLarge(object, size, alignment);
  if (entry.size_class() == kProgramHeapClass) return FreeToProgramHeap(object);
  if (!zero_objects.Contains(object)) RefuseForeign(object);
  if (size != kAnySize && size != 0) FatalAt(kWrongSize, object);
  RequireAlignment(object, alignment);
  zero_objects.Free(object);
}

// The thread is not busy. Out of line, for want of registers.
MESH_NOINLINE void KeepQuickly(void* slot, PageEntry entry) {
  // A signal handler that sleeps would empty the heap.
  thread_state.is_busy = true;
  std::atomic_signal_fence(std::memory_order_seq_cst);
  KeepFreed(thread_state.own_heap, slot, entry);
  std::atomic_signal_fence(std::memory_order_seq_cst);
  thread_state.is_busy = false;
}

// A leaf, too. Of alignments, that of all objects needs no look.
MESH_ALWAYS_INLINE void FreeQuickly(void* object, PageEntry entry, size_t size, size_t alignment) {
  ThreadLocalHeap* heap = thread_state.own_heap;
  const bool is_address = reinterpret_cast<uintptr_t>(object) >> kAddressBits == 0;
  const bool is_usual = is_address && (alignment == 0 || alignment == kMinAlignment) &&
                        heap != nullptr && !thread_state.is_busy && heap->IsSlot(object, entry);
  if (MESH_UNLIKELY(!is_usual)) return FreeSlowly(object, size, alignment);
  switch (SlotGuard::TryFree(object, entry, size)) {
    case SlotGuard::Tried::kDone:
      return KeepQuickly(object, entry);
    case SlotGuard::Tried::kNot:
      return FreeSlowly(object, size, alignment);
    case SlotGuard::Tried::kSecond:
      return SlotGuard::RefuseSecond(object);
  }
}

}  // namespace

bool DecideHardened() {
  if (MESH_UNLIKELY(secure_policy.has_states == SecurePolicy::kUndecided)) Runtime::Get();
  return secure_policy.has_states > 0;
}

void* HardenedMalloc(size_t size) { return AllocateQuickly(size, false); }

void* HardenedCalloc(size_t size) { return AllocateQuickly(size, true); }

void* HardenedAllocate(size_t size, size_t alignment, bool zeroed) {
  if (HasSlowPathNews() && IsEnding()) return AllocateWhileEnding(size, alignment);
  void* object = TryHardened(size, alignment, zeroed);
  while (object == nullptr && AskForMemory(size)) {
    object = TryHardened(size, alignment, zeroed);
  }
  return object;
}

void HardenedFree(void* object, size_t entry) {
  FreeQuickly(object, PageEntry::Of(entry), kAnySize, 0);
}

void HardenedFreeSized(void* object, size_t entry, size_t size, size_t alignment) {
  FreeQuickly(object, PageEntry::Of(entry), size, alignment);
}

void* HardenedRealloc(void* object, size_t size) {
  PageEntry entry = EntryOf(object);
  if (IsSmall(entry)) return ResizeSmall(object, entry, size);
  if (entry.size_class() == kLargeClass) return ResizeLarge(object, size);
  if (entry.size_class() == kProgramHeapClass) {
    // Another thread is just about to hand it over to the main heap.
    return CopyTo(object, Runtime::Get().global().program_heaps().UsableSize(object), size);
  }
  if (!zero_objects.Contains(object)) RefuseForeign(object);
  zero_objects.RequireInUse(object);
  return CopyTo(object, 0, size);
}

size_t HardenedUsableSize(const void* object) {
  PageEntry entry = EntryOf(object);
  if (IsSmall(entry)) {
    if (!IsStart(object, entry) || !SlotGuard::IsInUse(object)) return 0;
    return SlotGuard::SizeOf(object, entry.size_class());
  }
  if (entry.size_class() != kLargeClass) return 0;
  return SizeOf(*GlobalHeap::LargeRecord(object));
}

}  // namespace mesh
