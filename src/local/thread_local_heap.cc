// See thread_local_heap.h.
#include "src/local/thread_local_heap.h"

#include <cstring>
#include <new>

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

// Words of the first places of all vectors, and of those that they grow into.
constexpr size_t FirstWords() {
  size_t total = 0;
  for (SizeClass c = 1; c < kClassCount; c++) total += StorageOfFirst(c);
  return total;
}

constexpr size_t GrownWords() {
  size_t total = 0;
  for (SizeClass c = 1; c < kClassCount; c++) total += ShuffleVector::StorageFor(VectorLimit(c));
  return total;
}

}  // namespace

size_t ThreadLocalHeap::Footprint() {
  return RoundUp(sizeof(ThreadLocalHeap), 64) + (FirstWords() + GrownWords()) * sizeof(void*);
}

ThreadLocalHeap* ThreadLocalHeap::Create(void* memory, uint16_t id) {
  auto* heap = new (memory) ThreadLocalHeap();
  heap->id_ = id;
  return heap;
}

void ThreadLocalHeap::Start(GlobalHeap* global, uint64_t seed, SlotOrder order) {
  global_ = global;
  random_.Seed(seed);
  order_ = order;
  new (&rest_) RestState();
  seen_rest_ = 0;
  is_due_ = false;
  StartHardened();
  auto* first = reinterpret_cast<void**>(reinterpret_cast<char*>(this) +
                                         RoundUp(sizeof(ThreadLocalHeap), 64));
  void** grown = first + FirstWords();
  for (SizeClass c = 1; c < kClassCount; c++) {
    vectors_[c].Init(first, FirstCapacity(c), grown, VectorLimit(c), kSizeClasses[c].reciprocal);
    first += StorageOfFirst(c);
    grown += ShuffleVector::StorageFor(VectorLimit(c));
  }
}

void* ThreadLocalHeap::Refill(SizeClass size_class) {
  ShuffleVector& vector = vectors_[size_class];
  uint32_t wanted = vector.capacity() / 2;
  if (wanted == 0) wanted = 1;
  uint32_t room = vector.capacity() - vector.capacity() / 4;
  SpanId* attached = wanted < kSlotsToAttach ? nullptr : &attached_[size_class];
  vector.Grow();
  uint32_t got = global_->size_class_heap(size_class)
                     .Refill(id_, attached, random_, order_, vector.slots(), wanted, room);
  if (got == 0) return nullptr;
  vector.set_size(got);
  return Take(size_class);
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
  uint32_t sent = (vector.size() + 1) / 2;
  SettleAll(vector.slots(), sent, size_class, false);
  global_->size_class_heap(size_class).Release(vector.slots(), sent, [&] {
    vector.DropOldest(sent);
  });
  vector.Grow();
}

void ThreadLocalHeap::FreeSlow(void* object, PageEntry entry) {
  SizeClass size_class = entry.size_class();
  ShuffleVector& vector = vectors_[size_class];
  if (!IsSlotStart(reinterpret_cast<uintptr_t>(object), entry.bits(), vector.reciprocal())) {
    FatalAt("free of a pointer into the middle of an object", object);
  }
  if (*MarkOf(object) == kFreeMark) RequireInUse(object, size_class);
  if (vector.is_full()) SendOldest(size_class);
  *MarkOf(object) = kFreeMark;
  vector.Push(object);
}

void ThreadLocalHeap::Flush(bool lenient) {
  DrainQuarantine(lenient);
  for (SizeClass c = 1; c < kClassCount; c++) {
    ShuffleVector& vector = vectors_[c];
    SizeClassHeap& heap = global_->size_class_heap(c);
    if (vector.size() > 0) {
      SettleAll(vector.slots(), vector.size(), c, lenient);
      heap.Release(
          vector.slots(), vector.size(), [&] { vector.set_size(0); }, lenient);
    }
    heap.Detach(id_, attached_[c]);
    attached_[c] = kNoSpan;
  }
}

size_t ThreadLocalHeap::cached_bytes() const {
  size_t bytes = quarantine_ != nullptr ? quarantine_->bytes() : 0;
  for (SizeClass c = 1; c < kClassCount; c++) {
    bytes += size_t{vectors_[c].size()} * kSizeClasses[c].size;
  }
  return bytes;
}

}  // namespace mesh
