// MiniHeap: the metadata of one virtual span of a size class.
//
// It lies in the SpanRecord of its span's first page, so a span's id finds it by arithmetic, and it
// is a quarter of a cache line: a bit for each of 64 slots. The bits of spans of more slots lie in
// their class's WordPool, and what ties a span to others in its links, which most full spans never
// write. Several virtual spans whose objects do not overlap may share one physical
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
// [MH7] A span of a class that is never meshed is never backed; Links::memory holds two bits for
// each of
//       its pages: it has no memory (lower half; only pages without objects), and it was without
//       objects when it was last looked at (upper half).
//
// A span that ends (its pages go to the arena) is in no list, kNowhere or a leader's kWithdrawn
// hold on it having passed on; whatever its memory was is replaced by fresh pages.
#pragma once

#include <atomic>
#include <cstdint>
#include <span>

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

  // Words that the bitmap of such a span has outside of its record: none, 2 or 4.
  static uint32_t WordsOutside(SizeClass size_class, uint32_t units) {
    uint32_t slots = kSizeClasses[size_class].slots * units;
    if (slots <= 64) return 0;
    return slots <= 128 ? 2 : 4;
  }
  // Starts the life of a span that the arena has just handed out: private, alone, empty. `words`:
  // WordsOutside() of them, zeroed, which are the span's until it ends; else null.
  static MiniHeap* Start(SpanId id, SizeClass size_class, uint32_t units, uint64_t* words);
  // What Start() was given.
  uint64_t* words_outside() const {
    return is_wide() ? reinterpret_cast<uint64_t*>(word_) : nullptr;
  }

  SpanId id() const { return PageMap::IdOfRecord(this, state_ >> kSegmentShift); }
  SizeClass size_class() const {
    // order: relaxed; as owner().
    return size_class_.load(std::memory_order_relaxed);
  }
  const SizeClassInfo& info() const { return kSizeClasses[size_class()]; }
  uintptr_t address() const { return PageMap::AddressOf(id()); }
  uint32_t units() const { return 1u << length_shift(); }
  // The binary logarithm of units().
  uint32_t length_shift() const { return shape_.length; }
  PageCount pages() const { return PageCount{info().unit_pages} << length_shift(); }
  size_t length() const { return size_t{pages()} << kPageShift; }
  uint32_t slots() const { return uint32_t{info().slots} << length_shift(); }

  // The slot that the byte at `offset` from the span's base lies in.
  SlotIndex SlotAt(size_t offset) const { return mesh::SlotAt(size_class(), offset); }
  // Where a slot starts, from the span's base.
  size_t OffsetOf(SlotIndex slot) const { return mesh::OffsetOf(info(), slot); }
  void* ObjectAt(SlotIndex slot) const {
    return reinterpret_cast<void*>(address() + OffsetOf(slot));
  }

  // The bits of this span's own addresses; [MH1].
  Bitmap occupancy() const { return Bitmap::Of({words(), word_count()}); }
  bool has_objects() const {
    uint64_t all = 0;
    for (uint64_t word : std::span(words(), word_count())) all |= word;
    return all != 0;
  }
  // The bits of the whole group that this MiniHeap leads.
  Bitmap GroupOccupancy() const;
  // Set bits of the group that this MiniHeap leads; [MH3].
  uint32_t in_use() const { return state_ & kInUseMask; }
  bool is_full() const { return in_use() == slots(); }

  bool is_leader() const { return !shape_.is_member; }
  MiniHeap* leader() { return is_leader() ? this : Of(links().leader_or_previous); }
  bool is_alone() const { return is_leader() && links().next_member == kNoSpan; }
  // Spans in the group that this MiniHeap leads, itself included.
  uint32_t member_count() const;
  // Calls visit(MiniHeap*) for the leader and each member. `visit` may take the member out.
  template <typename Visit>
  void ForEachMember(Visit visit) {
    MESH_DCHECK(is_leader());
    SpanId next = links().next_member;
    visit(this);
    while (next != kNoSpan) {
      MiniHeap* member = Of(next);
      next = member->links().next_member;
      visit(member);
    }
  }

  // Marks `count` free slots of the group as taken at this leader's addresses.
  void TakeSlots(const Bitmap& free, uint32_t count) {
    MESH_DCHECK(is_leader() && !GroupOccupancy().Overlaps(free) && free.Count() == count);
    free.AddTo({words(), word_count()});
    AddInUse(count);
  }

  // Frees a slot of this member; NoteFreed() follows. False: it was free already, a double free.
  bool ClearSlot(SlotIndex slot) { return ClearSlotIn(words(), slot); }
  // The same for who has several to free: `words` is words().
  static bool ClearSlotIn(uint64_t* words, SlotIndex slot) {
    uint64_t& word = words[slot / 64];
    const uint64_t bit = uint64_t{1} << (slot % 64);
    if ((word & bit) == 0) return false;
    word ^= bit;
    return true;
  }
  uint64_t* words() { return is_wide() ? reinterpret_cast<uint64_t*>(word_) : &word_; }
  // Frees all slots of this member; in_use() of its group is the caller's to set right.
  void ClearAllSlots() {
    for (uint64_t& word : std::span(words(), word_count())) word = 0;
  }
  // `count` slots of this member have been freed. Returns the group's leader.
  MiniHeap* NoteFreed(uint32_t count) {
    MiniHeap* leading = leader();
    leading->TakeInUse(count);
    return leading;
  }

  // Makes `member`, alone or taken out of its group, a member of the group that this one leads.
  void Adopt(MiniHeap* member);
  // Takes a member out of its group; it is alone afterwards. When it was the leader, the next
  // member leads. Returns the leader that is left, or null when nobody is.
  MiniHeap* Leave();

  SpanMemory memory() const { return shape_.memory; }
  // Whether it shows pages of the backing.
  bool is_backed() const { return memory() != SpanMemory::kPrivate; }
  BackingPage backing() const { return info().meshable ? links().memory - 1 : kNoBackingPage; }
  void SetMemory(SpanMemory memory, BackingPage backing) {
    MESH_DCHECK(MayBecome(shape_.memory, memory));
    MESH_DCHECK((memory == SpanMemory::kPrivate) == (backing == kNoBackingPage));
    shape_.memory = memory;
    static_assert(kNoBackingPage + 1 == 0);
    links().memory = backing + 1;
  }

  // Of a span that is never meshed: pages, a bit for each. [MH7]
  static constexpr PageCount kMostPages = 16;
  // Those that the slots lie on.
  uint32_t PagesOf(const Bitmap& slots) const;
  uint32_t absent_pages() const { return links().memory & 0xffff; }
  uint32_t idle_pages() const { return links().memory >> 16; }
  void NotePages(uint32_t absent, uint32_t idle) { Set(links().memory, idle << 16 | absent); }
  // The slots are taken.
  void NoteUsed(const Bitmap& slots) {
    uint32_t used = PagesOf(slots);
    NotePages(absent_pages() & ~used, idle_pages() & ~used);
  }

  SpanPlace place() const { return shape_.place; }
  // By SizeClassHeap, which keeps the lists in step.
  void SetPlace(SpanPlace place) {
    MESH_DCHECK(MayBecome(shape_.place, place));
    MESH_DCHECK(is_leader() || place == SpanPlace::kNowhere);  // [MH4]
    shape_.place = place;
  }
  // The bin that it is in while kPartial. By SizeClassHeap, too.
  uint32_t bin() const { return state_ >> kBinShift & kBinMask; }
  void SetBin(uint32_t bin) {
    MESH_DCHECK(bin <= kBinMask);
    state_ = (state_ & ~(kBinMask << kBinShift)) | bin << kBinShift;
  }
  // The thread heap that draws from it while attached; of a span with an entry of
  // kProgramHeapClass, the program heap that it belongs to, always. Kept by SizeClassHeap.
  uint16_t owner() const {
    // order: relaxed; a free reads it without the lock, and asks again under it.
    return owner_.load(std::memory_order_relaxed);
  }
  // By SizeClassHeap.
  void SetOwner(uint16_t owner) {
    // order: relaxed; see owner().
    owner_.store(owner, std::memory_order_relaxed);
  }
  // The thread heap that last had it for itself; a hint, as only a part of its id is kept.
  bool IsHomeOf(uint16_t owner) const {
    return (state_ >> kHomeShift & kHomeMask) == (owner & kHomeMask);
  }
  void SetHome(uint16_t owner) {
    state_ = (state_ & ~(kHomeMask << kHomeShift)) | (owner & kHomeMask) << kHomeShift;
  }

  // Ends the program when [MH2], [MH3] or [MH5] does not hold for the group that this one leads.
  void CheckInvariants();

 private:
  friend struct WindowLayout;  // tells other processes where the figures lie
  friend class SpanList;

  // The parts of state_, from the lowest bit on. in_use is there, so that a sum changes it alone.
  static constexpr uint32_t kInUseMask = 0x1ff;
  static constexpr int kBinShift = 9;
  static constexpr uint32_t kBinMask = 0xf;
  static constexpr int kHomeShift = 13;
  static constexpr uint32_t kHomeMask = 0xf;
  static constexpr uint32_t kIsWide = 1 << 17;
  static constexpr int kSegmentShift = kWindowPageShift;  // as in an id
  static_assert(kSegmentShift == 18 && Bitmap::kBits <= kInUseMask);

  struct Shape {
    uint8_t length : 3;  // units = 1 << length
    uint8_t is_member : 1;
    SpanPlace place : 2;
    SpanMemory memory : 2;
  };
  // The bits of a Shape that hold `length` and `is_member`, for readers of other processes.
  static constexpr uint8_t kLengthMask = 0x07;
  static constexpr uint8_t kMemberMask = 0x08;

  // Zeros in a span that is alone, private and in no list.
  struct Links {
    SpanId next;                // in the list of a leader
    SpanId leader_or_previous;  // of a member: its leader; else the one before it in the list
    SpanId next_member;
    uint32_t memory;  // 1 + the backing page; of a class that is never meshed, see [MH7]
  };
  static_assert(sizeof(Links) == sizeof(SpanLinks));
  const Links& links() const {
    return *reinterpret_cast<const Links*>(PageMap::LinksOfRecord(this, state_ >> kSegmentShift));
  }
  Links& links() {
    return *reinterpret_cast<Links*>(PageMap::LinksOfRecord(this, state_ >> kSegmentShift));
  }
  // What is as it should be is not written: it may have no memory.
  static void Set(uint32_t& link, uint32_t value) {
    if (link != value) link = value;
  }

  uint32_t word_count() const { return is_wide() ? WordsOutside(size_class(), units()) : 1; }
  const uint64_t* words() const {
    return is_wide() ? reinterpret_cast<const uint64_t*>(word_) : &word_;
  }
  // The bitmap is longer than a word.
  bool is_wide() const { return (state_ & kIsWide) != 0; }
  void AddInUse(uint32_t count) { state_ += count; }
  void TakeInUse(uint32_t count) { state_ -= count; }
  void SetInUse(uint32_t count) { state_ = (state_ & ~kInUseMask) | count; }

  uint64_t word_;  // the bitmap; where its words are, if is_wide()
  uint32_t state_;
  Shape shape_;
  // Where a free run of these pages does not write (FreeRun).
  std::atomic<SizeClass> size_class_;
  std::atomic<uint16_t> owner_;
};
static_assert(sizeof(MiniHeap) == sizeof(SpanRecord));

// A list of leaders, linked through their MiniHeaps; [MH4].
class SpanList {
 public:
  bool empty() const { return head_ == kNoSpan; }
  uint32_t size() const { return size_; }
  MiniHeap* front() const { return head_ == kNoSpan ? nullptr : MiniHeap::Of(head_); }
  static MiniHeap* Next(const MiniHeap* element) {
    const SpanId next = element->links().next;
    return next == kNoSpan ? nullptr : MiniHeap::Of(next);
  }

  void PushFront(MiniHeap* element);
  void Remove(MiniHeap* element);

 private:
  friend struct WindowLayout;  // tells other processes where the figures lie
  SpanId head_ = kNoSpan;
  uint32_t size_ = 0;
};

}  // namespace mesh
