// See mini_heap.h.
#include "src/miniheap/mini_heap.h"

namespace mesh {

MiniHeap* MiniHeap::Start(SpanId id, SizeClass size_class, uint32_t units) {
  MiniHeap* heap = Of(id);
  heap->occupancy_ = Bitmap();
  heap->next_ = kNoSpan;
  heap->previous_ = kNoSpan;
  heap->id_ = id;
  heap->leader_ = id;
  heap->next_member_ = kNoSpan;
  heap->backing_ = kSizeClasses[size_class].meshable ? kNoBackingPage : 0;
  heap->set_owner(0);
  heap->units_ = static_cast<uint8_t>(units);
  heap->home_ = 0;
  heap->in_use_ = 0;
  // order: relaxed; as size_class().
  heap->size_class_.store(size_class, std::memory_order_relaxed);
  heap->bin_ = 0;
  heap->place_ = SpanPlace::kNowhere;
  heap->memory_ = SpanMemory::kPrivate;
  return heap;
}

Bitmap MiniHeap::GroupOccupancy() const {
  Bitmap all = occupancy_;
  for (SpanId id = next_member_; id != kNoSpan;) {
    const MiniHeap* member = Of(id);
    all |= member->occupancy_;
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
  MESH_DCHECK(!GroupOccupancy().Overlaps(member->occupancy_));
  member->SetPlace(SpanPlace::kNowhere);
  member->leader_ = id_;
  member->next_member_ = next_member_;
  next_member_ = member->id_;
  in_use_ = static_cast<uint16_t>(in_use_ + member->in_use_);
}

MiniHeap* MiniHeap::Leave() {
  MiniHeap* old_leader = leader();
  uint16_t own = static_cast<uint16_t>(occupancy_.Count());
  MiniHeap* left = old_leader;
  if (old_leader == this) {
    left = next_member_ == kNoSpan ? nullptr : Of(next_member_);
    for (SpanId id = next_member_; id != kNoSpan; id = Of(id)->next_member_) {
      Of(id)->leader_ = left->id_;
    }
    if (left != nullptr) left->in_use_ = static_cast<uint16_t>(in_use_ - own);
  } else {
    MiniHeap* before = old_leader;
    while (before->next_member_ != id_) before = Of(before->next_member_);
    before->next_member_ = next_member_;
    old_leader->in_use_ = static_cast<uint16_t>(old_leader->in_use_ - own);
  }
  // The compactor's hold on a group passes to whoever leads it next.
  if (left != nullptr && old_leader == this && place_ == SpanPlace::kWithdrawn) {
    left->SetPlace(SpanPlace::kWithdrawn);
  }
  leader_ = id_;
  next_member_ = kNoSpan;
  in_use_ = own;
  return left;
}

void MiniHeap::CheckInvariants() {
  MESH_CHECK(is_leader());
  Bitmap all;
  uint32_t count = 0;
  ForEachMember([&](MiniHeap* member) {
    MESH_CHECK(!all.Overlaps(member->occupancy_));  // [MH2]
    all |= member->occupancy_;
    count += member->occupancy_.Count();
    MESH_CHECK(member->leader_ == id_ && member->size_class_ == size_class_);
    MESH_CHECK(member->units_ == units_);
    MESH_CHECK(member->is_backed() == is_backed() && member->backing_ == backing_);  // [MH5]
    MESH_CHECK(member == this || member->place_ == SpanPlace::kNowhere);             // [MH4]
  });
  MESH_CHECK(count == in_use_ && count <= slots());  // [MH3]
  MESH_CHECK(info().meshable ||
             (!is_backed() && (absent_pages() & PagesOf(occupancy_)) == 0));  // [MH7]
  MESH_CHECK(is_alone() || is_backed());
}

void SpanList::PushFront(MiniHeap* element) {
  MESH_DCHECK(element->is_leader());
  element->previous_ = kNoSpan;
  element->next_ = head_;
  if (head_ != kNoSpan) MiniHeap::Of(head_)->previous_ = element->id_;
  head_ = element->id_;
  size_++;
}

void SpanList::Remove(MiniHeap* element) {
  if (element->next_ != kNoSpan) MiniHeap::Of(element->next_)->previous_ = element->previous_;
  if (element->previous_ != kNoSpan) {
    MiniHeap::Of(element->previous_)->next_ = element->next_;
  } else {
    head_ = element->next_;
  }
  element->next_ = kNoSpan;
  element->previous_ = kNoSpan;
  size_--;
}

}  // namespace mesh
