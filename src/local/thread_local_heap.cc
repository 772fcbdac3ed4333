// See thread_local_heap.h.
#include "src/local/thread_local_heap.h"

#include <algorithm>
#include <array>
#include <new>

#include "src/secure/policy.h"
#include "src/secure/slot_guard.h"

namespace mesh {

namespace {

// Bytes of free slots that a thread may hold of a class, and the bounds of their number.
constexpr size_t kVectorBytes = 32 * kKiB;
constexpr uint32_t kMaxVectorSlots = 128;
constexpr uint32_t kMinVectorSlots = 2;

// A thread draws from a span of its own once it takes as many slots at a time: before that, threads
// that need a few objects of a size share spans, and a thousand sleeping ones a thousandth of them.
constexpr uint32_t kSlotsToAttach = 16;

constexpr uint32_t VectorLimit(SizeClass size_class) {
  size_t slots = kVectorBytes / kSizeClasses[size_class].size;
  if (slots > kMaxVectorSlots) return kMaxVectorSlots;
  return slots < kMinVectorSlots ? kMinVectorSlots : static_cast<uint32_t>(slots);
}

// Bytes that a thread may hold of a class at first.
constexpr size_t kFirstBytes = kKiB;

constexpr uint32_t FirstCapacity(SizeClass size_class) {
  size_t slots = kFirstBytes / kSizeClasses[size_class].size;
  size_t room = ShuffleVector::FirstRoom(VectorLimit(size_class));
  if (slots > room) slots = room;
  return slots > 0 ? static_cast<uint32_t>(slots) : 1;
}

constexpr size_t StorageOfFirst(SizeClass size_class) {
  return ShuffleVector::StorageFor(ShuffleVector::FirstRoom(VectorLimit(size_class)));
}

// Words before the place that a class's vector grows into: the first places of all vectors, and
// where those of the classes before it grow into. Behind the last one: words of all.
constexpr auto kGrownWords = [] {
  std::array<uint32_t, kClassCount + 1> words{};
  for (SizeClass c = 1; c < kClassCount; c++) words[1] += StorageOfFirst(c);
  for (SizeClass c = 1; c < kClassCount; c++) {
    words[c + 1u] = words[c] + ShuffleVector::StorageFor(VectorLimit(c));
  }
  return words;
}();

// Whose slots serve as well: at most twice as large, aligned as much, and moved by compaction, or
// not, alike. kNoClass: nobody's.
constexpr SizeClass FindLender(SizeClass size_class) {
  const SizeClassInfo& info = kSizeClasses[size_class];
  const uint32_t alignment = std::min(info.size & -info.size, uint32_t{kPageSize});
  for (SizeClass c = size_class; ++c < kClassCount;) {
    const SizeClassInfo& lender = kSizeClasses[c];
    const bool is_larger = lender.size > info.size && lender.size <= 2 * info.size;
    if (is_larger && lender.size % alignment == 0 && lender.meshable == info.meshable) return c;
  }
  return kNoClass;
}

constexpr auto kLenders = [] {
  std::array<SizeClass, kClassCount> lenders{};
  for (SizeClass c = 1; c < kClassCount; c++) lenders[c] = FindLender(c);
  return lenders;
}();

}  // namespace

size_t ThreadLocalHeap::Footprint() {
  return RoundUp(sizeof(ThreadLocalHeap), 64) + kGrownWords[kClassCount] * sizeof(void*);
}

ThreadLocalHeap* ThreadLocalHeap::Create(void* memory, uint16_t id) {
  auto* heap = new (memory) ThreadLocalHeap();
  heap->id_ = id;
  return heap;
}

void** ThreadLocalHeap::FirstStorage() {
  return reinterpret_cast<void**>(reinterpret_cast<char*>(this) +
                                  RoundUp(sizeof(ThreadLocalHeap), 64));
}

void ThreadLocalHeap::Start(GlobalHeap* global, uint64_t seed, SlotOrder order) {
  global_ = global;
  Reseed(seed);
  order_ = order;
  new (&rest_) RestState();
  seen_rest_ = 0;
  is_due_ = false;
  StartHardened();
  void** first = FirstStorage();
  for (SizeClass c = 1; c < kClassCount; c++) {
    vectors_[c].Init(first, FirstCapacity(c), VectorLimit(c), kSizeClasses[c].reciprocal);
    first += StorageOfFirst(c);
  }
}

void ThreadLocalHeap::Grow(SizeClass size_class) {
  vectors_[size_class].Grow(FirstStorage() + kGrownWords[size_class]);
}

void* ThreadLocalHeap::Refill(SizeClass size_class) {
  void* slot = nullptr;
  // The size of a hardened slot is known to be its class's.
  const bool may_borrow = kLenders[size_class] != kNoClass && secure_policy.has_states <= 0;
  if (TryRefill(size_class, !may_borrow, &slot)) return slot;
  slot = Borrow(size_class);
  if (slot == nullptr) TryRefill(size_class, true, &slot);
  return slot;
}

void* ThreadLocalHeap::Borrow(SizeClass size_class) {
  const SizeClass lender = kLenders[size_class];
  void* slot = Take(lender);
  if (slot == nullptr) TryRefill(lender, true, &slot);
  if (slot == nullptr) return nullptr;
  // Who clears an object clears a slot of the class that it has asked for.
  const size_t size = kSizeClasses[size_class].size;
  memset(static_cast<char*>(slot) + size, 0, kSizeClasses[lender].size - size);
  return slot;
}

bool ThreadLocalHeap::TryRefill(SizeClass size_class, bool waits, void** slot) {
  ShuffleVector& vector = vectors_[size_class];
  // A hook of the program may have freed some, since there were none.
  if (vector.size() > 0) {
    *slot = TakeAny(size_class);
    return true;
  }
  vector.CloseGap();
  uint32_t room = vector.capacity();
  uint32_t wanted = room;
  if (!vector.drains()) {
    wanted = std::max(room / 2, 1u);
    room -= room / 4;
  }
  SpanId* attached = wanted < kSlotsToAttach ? nullptr : &attached_[size_class];
  uint32_t got = global_->size_class_heap(size_class)
                     .Refill(id_, attached, random_, order_, vector.slots(), wanted, room, waits);
  if (got == SizeClassHeap::kBusy) return false;
  if (got == 0 && vector.returned() > 0) {
    // Out of memory but for what waits here.
    ReturnAll(size_class);
    return TryRefill(size_class, waits, slot);
  }
  *slot = nullptr;
  if (got == 0) return true;
  vector.set_size(got);
  if (vector.drains()) {
    vector.NoteRefilled();
  } else {
    Grow(size_class);
  }
  if (secure_policy.has_states > 0) {
    for (void* fetched : std::span(vector.slots(), got)) __builtin_prefetch(fetched, 1);
  }
  *slot = TakeAny(size_class);
  return true;
}

void* ThreadLocalHeap::TakeAny(SizeClass size_class) {
  return secure_policy.has_states > 0 ? TakeHardened(size_class) : Take(size_class);
}

// The mark may also be what the program has copied there out of memory that it never wrote to.
void ThreadLocalHeap::RequireInUse(void* object, SizeClass size_class) {
  if (!vectors_[size_class].Contains(object) &&
      global_->size_class_heap(size_class).IsInUse(object)) {
    return;
  }
  FatalAt("double free", object);
}

void ThreadLocalHeap::SendOldest(SizeClass size_class) {
  ShuffleVector& vector = vectors_[size_class];
  vector.CloseGap();
  if (!vector.is_full()) return;
  uint32_t sent = (vector.size() + 1) / 2;
  const bool is_to_drain = global_->size_class_heap(size_class).Flush(vector.slots(), sent, [&] {
    vector.DropOldest(sent);
  });
  Grow(size_class);
  if (is_to_drain && vector.may_drain() && secure_policy.has_states <= 0) vector.StartToDrain();
}

void ThreadLocalHeap::ReturnAll(SizeClass size_class) {
  ShuffleVector& vector = vectors_[size_class];
  const std::span<void*> slots = vector.to_return();
  const bool goes_on = global_->size_class_heap(size_class)
                           .Return(slots.data(), static_cast<uint32_t>(slots.size()),
                                   vector.WasReused(), [&] { vector.DropReturned(); });
  if (!goes_on) vector.StopDraining(kSizeClasses[size_class].reciprocal);
}

void ThreadLocalHeap::FreeSlow(void* object, PageEntry entry) {
  SizeClass size_class = entry.size_class();
  ShuffleVector& vector = vectors_[size_class];
  if (!IsSlotStart(reinterpret_cast<uintptr_t>(object), entry.bits(),
                   kSizeClasses[size_class].reciprocal)) {
    FatalAt("free of a pointer into the middle of an object", object);
  }
  if (*MarkOf(object) == kFreeMark) RequireInUse(object, size_class);
  *MarkOf(object) = kFreeMark;
  if (!vector.drains() && vector.is_full()) SendOldest(size_class);
  if (!vector.drains()) return vector.Push(object);
  if (vector.AddToReturn(object)) ReturnAll(size_class);
}

void ThreadLocalHeap::Flush(Flushing how) {
  const bool lenient = how == Flushing::kLeniently;
  DrainQuarantine(lenient);
  for (SizeClass c = 1; c < kClassCount; c++) {
    ShuffleVector& vector = vectors_[c];
    SizeClassHeap& heap = global_->size_class_heap(c);
    const bool below_top = how == Flushing::kBelowTops;
    const uint32_t count = below_top ? vector.below_top() : vector.size();
    if (count > 0) {
      if (!lenient) LookAt({vector.slots(), count}, c);
      heap.Release(
          vector.slots(), count,
          [&] {
            if (below_top) return vector.DropBelowTop();
            vector.set_size(0);
          },
          lenient);
    }
    if (vector.drains()) {
      const std::span<void*> slots = vector.to_return();
      heap.Release(
          slots.data(), static_cast<uint32_t>(slots.size()), [&] { vector.DropReturned(); },
          lenient);
      vector.StopDraining(kSizeClasses[c].reciprocal);
    }
    heap.Detach(id_, attached_[c]);
    attached_[c] = kNoSpan;
  }
}

bool ThreadLocalHeap::has_below_tops() const {
  if (quarantine_ != nullptr && quarantine_->bytes() > 0) return true;
  return std::any_of(vectors_ + 1, vectors_ + kClassCount, [](const ShuffleVector& vector) {
    return vector.below_top() > 0 || vector.returned() > 0;
  });
}

size_t ThreadLocalHeap::cached_bytes() const {
  size_t bytes = quarantine_ != nullptr ? quarantine_->bytes() : 0;
  for (SizeClass c = 1; c < kClassCount; c++) {
    bytes += size_t{vectors_[c].size() + vectors_[c].returned()} * kSizeClasses[c].size;
  }
  return bytes;
}

}  // namespace mesh
