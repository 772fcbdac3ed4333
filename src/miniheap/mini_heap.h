// MiniHeap: the metadata of one virtual span of a size class.
//
// It lies in the SpanRecord of its span's first page, so a span's id finds it by arithmetic, and it
// is one cache line. Several virtual spans whose objects do not overlap may share one physical
// span: a mesh group. Every object is used through one address only, so each member keeps the bits
// of its own addresses:
//
//   leader   occupancy 1..1....  |
//   member   occupancy .1......  | one physical span, in_use = 4 at the leader
//   member   occupancy ......1.  |
//
// New objects of a group are handed out at the leader's addresses.
// Room: miniheap; above arena. Thread rule: everything under the lock of its size class.
//
// [MH1] A set bit means: the slot holds an object, or waits in some thread's shuffle vector.
// [MH2] The bitmaps of a mesh group's members are disjoint.
// [MH3] A leader's in_use is the number of bits set in its whole group; a member's is not used.
// [MH4] Only a leader is in a list.
// [MH5] All members of a group of two and more are backed, as long as each other, and name the same
//       backing pages.
// [MH6] place() and memory() change as the two tables below say, and in no other way.
//
//   place of a leader                          memory
//   kNowhere   -> kPartial    has free slots   kPrivate  -> kBacked    meshed
//   kNowhere   -> kAttached   a thread's       kBacked   -> kBacked    meshed again, other pages
//   kNowhere   -> kWithdrawn  for the compactor          -> kSeparate  a fork, shared views
//   kPartial, kAttached, kWithdrawn            kBacked   -> kPrivate   a fork without the file
//              -> kNowhere    out of its list  kSeparate -> kBacked    meshed again
//   kNowhere   -> kNowhere    adopted by a group; a member is nowhere for good
//
// [MH7] A span of a class that is never meshed is never backed; backing_ holds two bits for each of
//       its pages: it has no memory (lower half; only pages without objects), and it was without
//       objects when it was last looked at (upper half).
//
// A span that ends (its pages go to the arena) is in no list, kNowhere or a leader's kWithdrawn
// hold on it having passed on; whatever its memory was is replaced by fresh pages.
#pragma once

#include <atomic>
#include <cstdint>

#include "src/arena/page_map.h"
#include "src/base/bitmap.h"
#include "src/base/check.h"
#include "src/sizeclass/size_class.h"

namespace mesh {

// What lies behind a span's addresses.
enum class SpanMemory : uint8_t {
  kPrivate,   // private anonymous pages
  kBacked,    // a view of the backing, with the other members of its group
  kSeparate,  // the same, made private for a fork: copies of its own, where it stored since then
};

// Which list of its size class a leader is in.
enum class SpanPlace : uint8_t {
  kNowhere,    // full: nothing to hand out, found again when one of its objects is freed
  kPartial,    // in an occupancy bin
  kAttached,   // one thread draws its slots from it
  kWithdrawn,  // the compactor looks at it; nobody else hands out its slots meanwhile
};

// Physical pages in the backing, by index; none for private memory.
using BackingPage = uint32_t;
inline constexpr BackingPage kNoBackingPage = UINT32_MAX;

// [MH6]
constexpr bool MayBecome(SpanPlace from, SpanPlace to) {
  return from == SpanPlace::kNowhere || to == SpanPlace::kNowhere;
}
constexpr bool MayBecome(SpanMemory from, SpanMemory to) {
  switch (from) {
    case SpanMemory::kPrivate:
    case SpanMemory::kSeparate:
      return to == SpanMemory::kBacked;
    case SpanMemory::kBacked:
      return true;
  }
  return false;
}

class MiniHeap {
 public:
  static MiniHeap* Of(SpanId id) { return PageMap::Record<MiniHeap>(id); }

  // Starts the life of a span that the arena has just handed out: private, alone, empty.
  static MiniHeap* Start(SpanId id, SizeClass size_class, uint32_t units);

  SpanId id() const { return id_; }
  SizeClass size_class() const {
    // order: relaxed; as owner().
    return size_class_.load(std::memory_order_relaxed);
  }
  const SizeClassInfo& info() const { return kSizeClasses[size_class()]; }
  uintptr_t address() const { return PageMap::AddressOf(id_); }
  uint32_t units() const { return units_; }
  PageCount pages() const { return PageCount{info().unit_pages} * units_; }
  size_t length() const { return size_t{pages()} << kPageShift; }
  uint32_t slots() const { return uint32_t{info().slots} * units_; }

  // The slot that the byte at `offset` from the span's base lies in.
  SlotIndex SlotAt(size_t offset) const { return mesh::SlotAt(size_class(), offset); }
  // Where a slot starts, from the span's base.
  size_t OffsetOf(SlotIndex slot) const { return mesh::OffsetOf(info(), slot); }
  void* ObjectAt(SlotIndex slot) const {
    return reinterpret_cast<void*>(address() + OffsetOf(slot));
  }

  // The bits of this span's own addresses; [MH1].
  const Bitmap& occupancy() const { return occupancy_; }
  // The bits of the whole group that this MiniHeap leads.
  Bitmap GroupOccupancy() const;
  // Set bits of the group that this MiniHeap leads; [MH3].
  uint32_t in_use() const { return in_use_; }
  bool is_full() const { return in_use_ == slots(); }

  bool is_leader() const { return leader_ == id_; }
  MiniHeap* leader() { return Of(leader_); }
  bool is_alone() const { return is_leader() && next_member_ == kNoSpan; }
  // Spans in the group that this MiniHeap leads, itself included.
  uint32_t member_count() const;
  // Calls visit(MiniHeap*) for the leader and each member. `visit` may take the member out.
  template <typename Visit>
  void ForEachMember(Visit visit) {
    MESH_DCHECK(is_leader());
    for (SpanId id = id_; id != kNoSpan;) {
      MiniHeap* member = Of(id);
      id = member->next_member_;
      visit(member);
    }
  }

  // Marks `count` free slots of the group as taken at this leader's addresses.
  void TakeSlots(const Bitmap& free, uint32_t count) {
    MESH_DCHECK(is_leader() && !GroupOccupancy().Overlaps(free) && free.Count() == count);
    occupancy_ |= free;
    in_use_ = static_cast<uint16_t>(in_use_ + count);
  }

  // Frees a slot of this member; NoteFreed() follows. False: it was free already, a double free.
  bool ClearSlot(SlotIndex slot) {
    if (!occupancy_.IsSet(slot)) return false;
    occupancy_.Clear(slot);
    return true;
  }
  // `count` slots of this member have been freed. Returns the group's leader.
  MiniHeap* NoteFreed(uint32_t count) {
    MiniHeap* leading = is_leader() ? this : leader();
    leading->in_use_ = static_cast<uint16_t>(leading->in_use_ - count);
    return leading;
  }

  // Makes `member`, alone or taken out of its group, a member of the group that this one leads.
  void Adopt(MiniHeap* member);
  // Takes a member out of its group; it is alone afterwards. When it was the leader, the next
  // member leads. Returns the leader that is left, or null when nobody is.
  MiniHeap* Leave();

  SpanMemory memory() const { return memory_; }
  // Whether it shows pages of the backing.
  bool is_backed() const { return memory_ != SpanMemory::kPrivate; }
  BackingPage backing() const { return backing_; }
  void SetMemory(SpanMemory memory, BackingPage backing) {
    MESH_DCHECK(MayBecome(memory_, memory));
    MESH_DCHECK((memory == SpanMemory::kPrivate) == (backing == kNoBackingPage));
    memory_ = memory;
    backing_ = backing;
  }

  // Of a span that is never meshed: pages, a bit for each. [MH7]
  static constexpr PageCount kMostPages = 16;
  // Those that the slots lie on.
  uint32_t PagesOf(const Bitmap& slots) const;
  uint32_t absent_pages() const { return backing_ & 0xffff; }
  uint32_t idle_pages() const { return backing_ >> 16; }
  void NotePages(uint32_t absent, uint32_t idle) { backing_ = idle << 16 | absent; }
  // The slots are taken.
  void NoteUsed(const Bitmap& slots) {
    uint32_t used = PagesOf(slots);
    NotePages(absent_pages() & ~used, idle_pages() & ~used);
  }

  SpanPlace place() const { return place_; }
  // By SizeClassHeap, which keeps the lists in step.
  void SetPlace(SpanPlace place) {
    MESH_DCHECK(MayBecome(place_, place));
    MESH_DCHECK(is_leader() || place == SpanPlace::kNowhere);  // [MH4]
    place_ = place;
  }
  // The thread heap that draws from it while attached; of a span with an entry of
  // kProgramHeapClass, the program heap that it belongs to, always. Kept by SizeClassHeap.
  uint16_t owner() const {
    // order: relaxed; a free reads it without the lock, and asks again under it.
    return owner_.load(std::memory_order_relaxed);
  }
  // The thread heap that last had it for itself; a hint, as only a part of its id is kept.
  bool IsHomeOf(uint16_t owner) const { return home_ == static_cast<uint8_t>(owner); }
  void SetHome(uint16_t owner) { home_ = static_cast<uint8_t>(owner); }

  // Ends the program when [MH2], [MH3] or [MH5] does not hold for the group that this one leads.
  void CheckInvariants();

 private:
  friend struct WindowLayout;  // tells other processes where the figures lie
  friend class SpanList;
  friend class SizeClassHeap;

  void set_owner(uint16_t owner) {
    // order: relaxed; see owner().
    owner_.store(owner, std::memory_order_relaxed);
  }

  Bitmap occupancy_;
  SpanId next_;
  SpanId previous_;
  SpanId id_;
  SpanId leader_;
  SpanId next_member_;
  BackingPage backing_;
  std::atomic<uint16_t> owner_;
  uint8_t units_;
  uint8_t home_;
  uint16_t in_use_;
  std::atomic<SizeClass> size_class_;
  uint8_t bin_ : 4;  // while kPartial
  SpanPlace place_ : 2;
  SpanMemory memory_ : 2;
};
static_assert(sizeof(MiniHeap) == sizeof(SpanRecord));

// A list of leaders, linked through their MiniHeaps; [MH4].
class SpanList {
 public:
  bool empty() const { return head_ == kNoSpan; }
  uint32_t size() const { return size_; }
  MiniHeap* front() const { return head_ == kNoSpan ? nullptr : MiniHeap::Of(head_); }
  static MiniHeap* Next(const MiniHeap* element) {
    return element->next_ == kNoSpan ? nullptr : MiniHeap::Of(element->next_);
  }

  void PushFront(MiniHeap* element);
  void Remove(MiniHeap* element);

 private:
  friend struct WindowLayout;  // tells other processes where the figures lie
  SpanId head_ = kNoSpan;
  uint32_t size_ = 0;
};

}  // namespace mesh
