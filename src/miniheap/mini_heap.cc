// See mini_heap.h.
#include "src/miniheap/mini_heap.h"

#include <bit>
#include <cstddef>

#include "src/arena/page_heap.h"

namespace mesh {

MiniHeap* MiniHeap::Start(SpanId id, SizeClass size_class, uint32_t units, uint64_t* words) {
  static_assert(offsetof(MiniHeap, size_class_) >= sizeof(FreeRun));
  MESH_DCHECK((words != nullptr) == (WordsOutside(size_class, units) > 0));
  MiniHeap* heap = Of(id);
  heap->word_ = reinterpret_cast<uintptr_t>(words);
  heap->SetOwner(0);
  // order: relaxed; as size_class().
  heap->size_class_.store(size_class, std::memory_order_relaxed);
  heap->shape_.length = static_cast<uint8_t>(std::countr_zero(units)) & kLengthMask;
  heap->shape_.is_member = 0;
  heap->shape_.place = SpanPlace::kNowhere;
  heap->shape_.memory = SpanMemory::kPrivate;
  heap->state_ = (id & ~(kWindowPages - 1)) | (words != nullptr ? kIsWide : 0);
  Links& links = heap->links();
  for (uint32_t* link :
       {&links.next, &links.leader_or_previous, &links.next_member, &links.memory}) {
    Set(*link, 0);
  }
  return heap;
}

Bitmap MiniHeap::GroupOccupancy() const {
  Bitmap all = occupancy();
  for (SpanId id = links().next_member; id != kNoSpan;) {
    const MiniHeap* member = Of(id);
    all |= member->occupancy();
    id = member->links().next_member;
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
  for (SpanId id = links().next_member; id != kNoSpan; id = Of(id)->links().next_member) count++;
  return count;
}

void MiniHeap::Adopt(MiniHeap* member) {
  MESH_DCHECK(is_leader() && member->is_alone() && member != this);
  MESH_DCHECK(!GroupOccupancy().Overlaps(member->occupancy()));
  member->SetPlace(SpanPlace::kNowhere);
  member->shape_.is_member = 1;
  member->links().leader_or_previous = id();
  member->links().next_member = links().next_member;
  links().next_member = member->id();
  AddInUse(member->in_use());
}

MiniHeap* MiniHeap::Leave() {
  MiniHeap* old_leader = leader();
  const uint32_t own = occupancy().Count();
  Links& own_links = links();
  const SpanId next = own_links.next_member;
  MiniHeap* left = old_leader;
  if (old_leader == this) {
    left = next == kNoSpan ? nullptr : Of(next);
    for (SpanId id = next; id != kNoSpan; id = Of(id)->links().next_member) {
      Of(id)->links().leader_or_previous = next;
    }
    if (left != nullptr) {
      left->shape_.is_member = 0;
      left->links().leader_or_previous = kNoSpan;
      left->SetInUse(in_use() - own);
    }
  } else {
    const SpanId own_id = id();
    MiniHeap* before = old_leader;
    while (before->links().next_member != own_id) before = Of(before->links().next_member);
    before->links().next_member = next;
    old_leader->TakeInUse(own);
  }
  // The compactor's hold on a group passes to whoever leads it next.
  if (left != nullptr && old_leader == this && place() == SpanPlace::kWithdrawn) {
    left->SetPlace(SpanPlace::kWithdrawn);
  }
  if (old_leader != this) {
    shape_.is_member = 0;
    own_links.leader_or_previous = kNoSpan;
  }
  own_links.next_member = kNoSpan;
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
    MESH_CHECK(member->is_backed() == is_backed() && member->backing() == backing());  // [MH5]
    MESH_CHECK(member == this || member->place() == SpanPlace::kNowhere);              // [MH4]
  });
  MESH_CHECK(count == in_use() && count <= slots());  // [MH3]
  MESH_CHECK(info().meshable ||
             (!is_backed() && (absent_pages() & PagesOf(occupancy())) == 0));  // [MH7]
  MESH_CHECK(is_alone() || is_backed());
}

void SpanList::PushFront(MiniHeap* element) {
  MESH_DCHECK(element->is_leader());
  const SpanId id = element->id();
  MiniHeap::Links& links = element->links();
  MiniHeap::Set(links.leader_or_previous, kNoSpan);
  MiniHeap::Set(links.next, head_);
  if (head_ != kNoSpan) MiniHeap::Of(head_)->links().leader_or_previous = id;
  head_ = id;
  size_++;
}

void SpanList::Remove(MiniHeap* element) {
  MiniHeap::Links& links = element->links();
  const SpanId previous = links.leader_or_previous;
  if (links.next != kNoSpan) MiniHeap::Of(links.next)->links().leader_or_previous = previous;
  if (previous != kNoSpan) {
    MiniHeap::Of(previous)->links().next = links.next;
  } else {
    head_ = links.next;
  }
  MiniHeap::Set(links.next, kNoSpan);
  MiniHeap::Set(links.leader_or_previous, kNoSpan);
  size_--;
}

}  // namespace mesh
