// See heap.h: the paths of malloc and free from the fast ones down to the global heap, as a source
// that layers of heap-layers stand on.
#include "src/runtime/heap.h"

#include <array>
#include <cstring>

#include "heaplayers/realloc_layer.h"
#include "heaplayers/zeroing_layer.h"
#include "src/arena/page_map.h"
#include "src/base/check.h"
#include "src/global/program_heaps.h"
#include "src/os/process.h"
#include "src/runtime/default_heap.h"
#include "src/runtime/fast_path.h"
#include "src/runtime/hardened_heap.h"
#include "src/runtime/misuse.h"
#include "src/runtime/program_hooks.h"
#include "src/runtime/runtime.h"
#include "src/runtime/thread_state.h"
#include "src/secure/zero_objects.h"
#include "src/sizeclass/size_class.h"

namespace mesh {
namespace {

// Frees to program heaps between two looks at what there is to do on the side.
constexpr uint32_t kFreesToSlowPath = 64;

void* TryAllocateSlow(SizeClass size_class);

// For a thread whose malloc does not use a heap of its own.
MESH_NOINLINE void* AllocateApart(SizeClass size_class) {
  Runtime& runtime = Runtime::Get();
  if (thread_state.default_heap == nullptr) return runtime.global().AllocateDirect(size_class);
  bool is_over = false;
  void* object = AllocateClassFrom(thread_state.default_heap, thread_state.default_generation,
                                   size_class, &is_over);
  if (!is_over) return object;
  LeaveDefaultHeap();
  // The thread's vectors have waited meanwhile; a refill is for an empty one.
  object = thread_state.heap->Take(size_class);
  return object != nullptr ? object : TryAllocateSlow(size_class);
}

void* TryAllocateSlow(SizeClass size_class) {
  BusyScope busy;
  Runtime& runtime = Runtime::Get();
  ThreadLocalHeap* heap = runtime.AttachThread();
  if (MESH_UNLIKELY(heap != thread_state.heap)) return AllocateApart(size_class);
  void* object = heap->Refill(size_class);
  runtime.OnSlowPath();
  return object;
}

// What the program has asked to be done before an allocation that looks for memory.
// Returns: whether the calling thread is served elsewhere.
MESH_NOINLINE bool HearNews() {
  if (IsEnding()) return true;
  RunDeferredFree(false);
  return false;
}

// The thread has no free slot of the class (or no heap yet).
MESH_NOINLINE void* AllocateSlow(SizeClass size_class, size_t wanted) {
  if (MayBeHardened()) return HardenedMalloc(wanted);
  const size_t size = kSizeClasses[size_class].size;
  if (HasSlowPathNews() && HearNews()) return AllocateWhileEnding(size, kPageSize);
  void* object = TryAllocateSlow(size_class);
  while (MESH_UNLIKELY(object == nullptr) && AskForMemory(size)) {
    object = TryAllocateSlow(size_class);
  }
  return object;
}

void* TryAllocateLarge(size_t size, size_t alignment, bool zeroed) {
  BusyScope busy;
  void* object = nullptr;
  if (AllocateFromDefault(size, alignment, zeroed, &object)) return object;
  Runtime& runtime = Runtime::Get();
  object = runtime.global().AllocateLarge(size, alignment, zeroed);
  runtime.OnSlowPath();
  return object;
}

MESH_NOINLINE void* AllocateLarge(size_t size, size_t alignment, bool zeroed) {
  if (HasSlowPathNews() && HearNews()) return AllocateWhileEnding(size, alignment);
  void* object = TryAllocateLarge(size, alignment, zeroed);
  while (MESH_UNLIKELY(object == nullptr) && AskForMemory(size)) {
    object = TryAllocateLarge(size, alignment, zeroed);
  }
  return object;
}

void FreeToClass(void* object, PageEntry entry) {
  BusyScope busy;
  Runtime& runtime = Runtime::Get();
  ThreadLocalHeap* heap = runtime.AttachThread();
  if (heap == nullptr) return runtime.global().FreeDirect(object, entry.size_class());
  if (!heap->Keep(object, entry)) {
    // By another thread, which has it still: no bit tells.
    const bool may_be_free = secure_policy.level > 0 && ThreadLocalHeap::IsMarked(object);
    if (may_be_free && runtime.registry().Holds(object, entry.size_class())) {
      FatalAt("double free", object);
    }
    heap->FreeSlow(object, entry);
  }
  runtime.OnSlowPath();
}

MESH_ALWAYS_INLINE void* AllocateClass(SizeClass size_class, size_t size) {
  void* object = thread_state.heap->Take(size_class);
  return MESH_LIKELY(object != nullptr) ? object : AllocateSlow(size_class, size);
}

void FreeLarge(void* object) {
  BusyScope busy;
  Runtime& runtime = Runtime::Get();
  runtime.global().FreeLarge(object);
  runtime.OnSlowPath();
}

PageEntry EntryOf(const void* object) { return PageMap::Find(reinterpret_cast<uintptr_t>(object)); }

bool IsSmall(PageEntry entry) {
  return entry.size_class() != kNoClass && entry.size_class() < kClassCount;
}

// Bytes of a slot that the program may use, by what a page entry says; 0: it is looked at.
constinit std::array<uint32_t, kEntryClassCount> usable_sizes = [] {
  std::array<uint32_t, kEntryClassCount> sizes{};
  for (SizeClass c = 1; c < kClassCount; c++) sizes[c] = kSizeClasses[c].size;
  return sizes;
}();

MESH_NOINLINE size_t OtherUsableSize(const void* object, PageEntry entry) {
  if (entry.size_class() == kProgramHeapClass) {
    return Runtime::Get().global().program_heaps().UsableSize(object);
  }
  if (IsHardened()) return HardenedUsableSize(object);
  return entry.size_class() == kLargeClass ? GlobalHeap::LargeSize(object) : 0;
}

// The heap as one layer: a size class or pages of its own for each object, told apart by the size
// at first and by the page entry afterwards.
class PageHeapSource {
 public:
  static constexpr size_t kAlignment = kMinAlignment;

  void* malloc(size_t size) {
    void* object = TryMalloc(size);
    return MESH_LIKELY(object != nullptr) ? object : SlowMalloc(size);
  }

  // Without asking the program to find some. Large objects alone get room to grow.
  void* malloc_if_any(size_t size) {
    return IsEnding() ? nullptr : TryAllocateLarge(size, kMinAlignment, false);
  }

  void* malloc_zeroed(size_t size) {
    if (size > kMaxSmallSize) return AllocateLarge(size, kMinAlignment, true);
    return heaplayers::Cleared(AllocateClass(ClassFor(size), size), size);
  }

  void* memalign(size_t alignment, size_t size) {
    SizeClass size_class = AlignedClassFor(size, alignment);
    if (size_class != kNoClass) return AllocateClass(size_class, size);
    return AllocateLarge(size, alignment, false);
  }

  void free(void* object) { FastFree(object); }

  size_t usable_size(const void* object) {
    PageEntry entry = EntryOf(object);
    const size_t size = usable_sizes[entry.size_class()];
    return MESH_LIKELY(size != 0) ? size : OtherUsableSize(object, entry);
  }

  void* try_resize(void* object, size_t size) {
    if (IsSmall(EntryOf(object))) {
      // It is going to be copied, from where a slot begins.
      RequireSlot(object);
      return nullptr;
    }
    if (size <= kMaxSmallSize) return nullptr;
    BusyScope busy;
    return Runtime::Get().global().ResizeLarge(object, size);
  }
};

// A small object stays where it is while it fills half of its slot. A large one gives back the
// pages that it needs no longer, save an eighth; as much room it gets when it has to move to grow,
// since what has grown grows again. Pages that are never touched cost nothing.
struct KeepInPlace {
  static constexpr bool Keeps(size_t usable, size_t size) {
    if (usable <= kMaxSmallSize) return heaplayers::KeepIfHalfUsed::Keeps(usable, size);
    return size <= usable && usable - size <= usable / GlobalHeap::kRoomShare;
  }
  static constexpr size_t Wanted(size_t usable, size_t size) {
    bool grows = size > usable && size > kMaxSmallSize && size < PTRDIFF_MAX / 2;
    return grows ? size + size / GlobalHeap::kRoomShare : size;
  }
};

// An object of a program heap stays in it.
void* ReallocIn(ProgramHeap* from, void* object, size_t size) {
  PageHeapSource source;
  const size_t usable = source.usable_size(object);
  if (KeepInPlace::Keeps(usable, size)) return object;
  if (usable > kMaxSmallSize) {
    if (void* resized = source.try_resize(object, size)) return resized;
  }
  // Another thread may be about to hand its objects over: an even generation is no heap's. [PR1]
  const uint32_t generation = from->generation();
  bool is_over = generation % 2 == 0;
  const size_t wanted = KeepInPlace::Wanted(usable, size);
  void* fresh = nullptr;
  if (!is_over) fresh = AllocateFrom(from, generation, wanted, kMinAlignment, false, &is_over);
  if (fresh == nullptr && wanted > size && !is_over) {
    fresh = AllocateFrom(from, generation, size, kMinAlignment, false, &is_over);
  }
  if (is_over) fresh = Malloc(size);
  if (fresh == nullptr) {
    if (size <= usable) return object;
    return AskForMemory(size) ? Realloc(object, size) : nullptr;
  }
  memcpy(fresh, object, usable < size ? usable : size);
  Free(object);
  return fresh;
}

// The allocator in one sentence.
using MeshHeap = heaplayers::ReallocLayer<KeepInPlace, heaplayers::ZeroingLayer<PageHeapSource>>;

constinit MeshHeap heap;

}  // namespace

void FreeToProgramHeap(void* object) {
  BusyScope busy;
  Runtime& runtime = Runtime::Get();
  if (!runtime.global().program_heaps().Free(object)) return Free(object);
  if (++thread_state.program_heap_frees % kFreesToSlowPath == 0) runtime.OnSlowPath();
}

MESH_NOINLINE void* SlowMalloc(size_t size) {
  // Nearly all others are here because the thread has no slot for them: hardened, always.
  const bool was_not_tried = size - kFastSize - 1 < kMaxSmallSize - kFastSize;
  if (MESH_LIKELY(was_not_tried)) return AllocateClass(ClassFor(size), size);
  if (MayBeHardened()) return HardenedMalloc(size);
  if (size <= kFastSize) return AllocateClass(ClassFor(size), size);
  return AllocateLarge(size, kMinAlignment, false);
}

// Apart, so that SlowFree() needs no frame.
MESH_NOINLINE static void FreeOther(void* object) {
  if (HasSlowPathNews() && IsEnding()) return;
  PageEntry entry = EntryOf(object);
  if (IsSmall(entry)) return FreeToClass(object, entry);
  if (entry.size_class() == kLargeClass) return FreeLarge(object);
  if (entry.size_class() == kProgramHeapClass) return FreeToProgramHeap(object);
  if (object != nullptr) JudgeForeign(object);
}

MESH_NOINLINE void SlowFree(void* object, size_t entry) {
  if (MayBeHardened()) return HardenedFree(object, entry);
  FreeOther(object);
}

MESH_NOINLINE void SlowFreeSized(void* object, size_t entry, size_t size, size_t alignment) {
  if (MayBeHardened()) return HardenedFreeSized(object, entry, size, alignment);
  FreeOther(object);
}

void* Malloc(size_t size) { return heap.malloc(size); }

void* Calloc(size_t size) {
  if (MayBeHardened()) return HardenedCalloc(size);
  return heap.malloc_zeroed(size);
}

void* AlignedAlloc(size_t alignment, size_t size) {
  if (IsHardened()) return HardenedAllocate(size, alignment, false);
  return heap.memalign(alignment, size);
}

void* AlignedCalloc(size_t alignment, size_t size) {
  if (IsHardened()) {
    void* object = HardenedAllocate(size, alignment, true);
    const size_t usable = object != nullptr ? HardenedUsableSize(object) : 0;
    if (usable > size) memset(static_cast<char*>(object) + size, 0, usable - size);
    return object;
  }
  SizeClass size_class = AlignedClassFor(size, alignment);
  if (size_class == kNoClass) return AllocateLarge(size, alignment, true);
  return heaplayers::Cleared(AllocateClass(size_class, size), kSizeClasses[size_class].size);
}

void Free(void* object) { heap.free(object); }

void LookAtEach() { usable_sizes = {}; }

void CheckAtExit() {
  if (IsHardened() && OwnHeap() != nullptr) OwnHeap()->RequireUntouched();
}

// Whatever is not a slot of a heap that is not hardened.
MESH_NOINLINE static void* ReallocOther(void* object, PageEntry entry, size_t size) {
  const bool is_hardened = IsHardened();
  const bool is_ours = IsSmall(entry) || entry.size_class() == kLargeClass ||
                       entry.size_class() == kProgramHeapClass;
  if (!is_ours && IsEnding()) return ReallocWhileEnding(object, size);
  if (!is_ours && !is_hardened) {
    JudgeForeign(object);
    return nullptr;
  }
  if (is_ours) {
    ProgramHeap* from = Runtime::Get().global().program_heaps().Find(object);
    if (from != nullptr) return ReallocIn(from, object, size);
  }
  return is_hardened ? HardenedRealloc(object, size) : heap.realloc(object, size);
}

void* Realloc(void* object, size_t size) {
  if (object == nullptr) return heap.malloc(size);
  PageEntry entry = EntryOf(object);
  if (MESH_UNLIKELY(usable_sizes[entry.size_class()] == 0)) {
    return ReallocOther(object, entry, size);
  }
  return heap.realloc(object, size);
}

bool Expand(void* object, size_t size) {
  const size_t usable = heap.usable_size(object);
  if (usable == 0 && !Owns(object)) return false;
  if (size <= usable) return true;
  if (usable <= kMaxSmallSize || IsHardened()) return false;
  BusyScope busy;
  return Runtime::Get().global().ExpandLarge(object, size);
}

size_t UsableSize(const void* object) { return heap.usable_size(object); }

bool IsInHeap(const void* address) {
  if (zero_objects.Contains(address)) return true;
  const uintptr_t place = reinterpret_cast<uintptr_t>(address);
  if (!PageMap::Owns(place)) return false;
  const Segment& segment = PageMap::SegmentAt(place);
  return place - segment.base < size_t{segment.pages} << kPageShift;
}

bool Owns(const void* address) {
  return !EntryOf(address).is_empty() || zero_objects.Contains(address);
}

size_t GoodSize(size_t size) {
  if (secure_policy.has_canaries) return size > PTRDIFF_MAX ? 0 : size > 0 ? size : 1;
  if (size <= kMaxSmallSize) return kSizeClasses[ClassFor(size)].size;
  return size > PTRDIFF_MAX ? 0 : RoundUp(size, kPageSize);
}

uint64_t UptimeNs() { return os::MonotonicNs() - Runtime::Get().began_ns(); }

const ControlTarget& ProcessControl() { return Runtime::Get().control(); }

}  // namespace mesh
