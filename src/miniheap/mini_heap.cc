// See mini_heap.h.
#include "src/miniheap/mini_heap.h"

#include <bit>

namespace mesh {

MiniHeap* MiniHeap::Start(SpanId id, SizeClass size_class, uint32_t units, uint64_t* words) {
  static_assert(AreMasksRight());
  MESH_DCHECK((words != nullptr) == (WordsOutside(size_class, units) > 0));
  MiniHeap* heap = Of(id);
  heap->word_ = reinterpret_cast<uintptr_t>(words);
  heap->next_ = kNoSpan;
  heap->leader_or_previous_ = kNoSpan;
  heap->next_member_ = kNoSpan;
  heap->backing_ = kSizeClasses[size_class].meshable ? kNoBackingPage : 0;
  heap->SetOwner(0);
  // order: relaxed; as size_class().
  heap->size_class_.store(size_class, std::memory_order_relaxed);
  heap->shape_.length = static_cast<uint8_t>(std::countr_zero(units)) & kLengthMask;
  heap->shape_.is_member = 0;
  heap->shape_.place = SpanPlace::kNowhere;
  heap->shape_.memory = SpanMemory::kPrivate;
  heap->state_ = (id & ~(kWindowPages - 1)) | (words != nullptr ? kIsWide : 0);
  return heap;
}

Bitmap MiniHeap::GroupOccupancy() const {
  Bitmap all = occupancy();
  for (SpanId id = next_member_; id != kNoSpan;) {
    const MiniHeap* member = Of(id);
    all |= member->occupancy();
    id = member->next_member_;
  }
  return all;
}

uint32_t MiniHeap::PagesOf(const Bitmap& slots) const {
  const SizeClassInfo& info = this->info();
  uint32_t pages = 0;
  slots.ForEachSet([&](SlotIndex slot) {
    size_t begin = OffsetOf(slot);
    size_t first = begin >> kPageShift;
    size_t last = (begin + info.size - 1) >> kPageShift;
    pages |= (2u << last) - (1u << first);
  });
  return pages;
}

uint32_t MiniHeap::member_count() const {
  uint32_t count = 1;
  for (SpanId id = next_member_; id != kNoSpan; id = Of(id)->next_member_) count++;
  return count;
}

void MiniHeap::Adopt(MiniHeap* member) {
  MESH_DCHECK(is_leader() && member->is_alone() && member != this);
  MESH_DCHECK(!GroupOccupancy().Overlaps(member->occupancy()));
  member->SetPlace(SpanPlace::kNowhere);
  member->shape_.is_member = 1;
  member->leader_or_previous_ = id();
  member->next_member_ = next_member_;
  next_member_ = member->id();
  AddInUse(member->in_use());
}

MiniHeap* MiniHeap::Leave() {
  MiniHeap* old_leader = leader();
  const uint32_t own = occupancy().Count();
  MiniHeap* left = old_leader;
  if (old_leader == this) {
    left = next_member_ == kNoSpan ? nullptr : Of(next_member_);
    for (SpanId id = next_member_; id != kNoSpan; id = Of(id)->next_member_) {
      Of(id)->leader_or_previous_ = next_member_;
    }
    if (left != nullptr) {
      left->shape_.is_member = 0;
      left->leader_or_previous_ = kNoSpan;
      left->SetInUse(in_use() - own);
    }
  } else {
    const SpanId own_id = id();
    MiniHeap* before = old_leader;
    while (before->next_member_ != own_id) before = Of(before->next_member_);
    before->next_member_ = next_member_;
    old_leader->TakeInUse(own);
  }
  // The compactor's hold on a group passes to whoever leads it next.
  if (left != nullptr && old_leader == this && place() == SpanPlace::kWithdrawn) {
    left->SetPlace(SpanPlace::kWithdrawn);
  }
  if (old_leader != this) {
    shape_.is_member = 0;
    leader_or_previous_ = kNoSpan;
  }
  next_member_ = kNoSpan;
  SetInUse(own);
  return left;
}

void MiniHeap::CheckInvariants() {
  MESH_CHECK(is_leader());
  Bitmap all;
  uint32_t count = 0;
  ForEachMember([&](MiniHeap* member) {
    const Bitmap bits = member->occupancy();
    MESH_CHECK(!all.Overlaps(bits));  // [MH2]
    all |= bits;
    count += bits.Count();
    MESH_CHECK(member->leader() == this && member->size_class_ == size_class_);
    MESH_CHECK(member->units() == units());
    MESH_CHECK(member->is_backed() == is_backed() && member->backing_ == backing_);  // [MH5]
    MESH_CHECK(member == this || member->place() == SpanPlace::kNowhere);            // [MH4]
  });
  MESH_CHECK(count == in_use() && count <= slots());  // [MH3]
  MESH_CHECK(info().meshable ||
             (!is_backed() && (absent_pages() & PagesOf(occupancy())) == 0));  // [MH7]
  MESH_CHECK(is_alone() || is_backed());
}

void SpanList::PushFront(MiniHeap* element) {
  MESH_DCHECK(element->is_leader());
  const SpanId id = element->id();
  element->leader_or_previous_ = kNoSpan;
  element->next_ = head_;
  if (head_ != kNoSpan) MiniHeap::Of(head_)->leader_or_previous_ = id;
  head_ = id;
  size_++;
}

void SpanList::Remove(MiniHeap* element) {
  const SpanId previous = element->leader_or_previous_;
  if (element->next_ != kNoSpan) MiniHeap::Of(element->next_)->leader_or_previous_ = previous;
  if (previous != kNoSpan) {
    MiniHeap::Of(previous)->next_ = element->next_;
  } else {
    head_ = element->next_;
  }
  element->next_ = kNoSpan;
  element->leader_or_previous_ = kNoSpan;
  size_--;
}

}  // namespace mesh
