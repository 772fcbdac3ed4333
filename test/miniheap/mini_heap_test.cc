// Tests of MiniHeap: slots, groups, lists.
#include "src/miniheap/mini_heap.h"

#include <gtest/gtest.h>

#include <memory>
#include <set>
#include <utility>
#include <vector>

#include "src/arena/arena.h"
#include "src/miniheap/word_pool.h"

namespace mesh {
namespace {

class MiniHeapTest : public testing::Test {
 protected:
  MiniHeapTest() : arena_(std::make_unique<Arena>()) { arena_->set_segment_size(4 * kMiB); }

  MiniHeap* Start(SizeClass c, uint32_t units) {
    uint32_t words = MiniHeap::WordsOutside(c, units);
    return MiniHeap::Start(arena_->AllocateSpan(c, units), c, units,
                           words > 0 ? pool_.Take(words) : nullptr);
  }

  // A span of objects of some size with the given slots taken.
  MiniHeap* Make(std::initializer_list<SlotIndex> slots, size_t size = 64) {
    MiniHeap* heap = Start(ClassFor(size), 1);
    Bitmap taken;
    for (SlotIndex slot : slots) taken.Set(slot);
    heap->TakeSlots(taken, taken.Count());
    return heap;
  }

  std::unique_ptr<Arena> arena_;
  WordPool pool_;
};

TEST_F(MiniHeapTest, TakesAndFreesSlots) {
  MiniHeap* heap = Make({0, 5});
  EXPECT_EQ(heap->in_use(), 2u);
  EXPECT_TRUE(heap->ClearSlot(5));
  EXPECT_EQ(heap->NoteFreed(1), heap);
  EXPECT_FALSE(heap->ClearSlot(5));
  EXPECT_EQ(heap->in_use(), 1u);
  heap->CheckInvariants();
}

TEST_F(MiniHeapTest, SlotsOfSeveralUnits) {
  for (SizeClass c = 1; c < kFirstPinnedClass; c++) {
    uint32_t units = kSizeClasses[c].max_units;
    MiniHeap* heap = Start(c, units);
    size_t end = 0;
    for (SlotIndex slot = 0; slot < heap->slots(); slot++) {
      size_t offset = heap->OffsetOf(slot);
      ASSERT_GE(offset, end);
      end = offset + heap->info().size;
      ASSERT_EQ(heap->SlotAt(offset), slot);
      ASSERT_EQ(heap->SlotAt(end - 1), slot);
    }
    ASSERT_LE(end, heap->length());
  }
}

TEST_F(MiniHeapTest, GroupCountsAndFreesThroughMembers) {
  MiniHeap* a = Make({0, 1});
  MiniHeap* b = Make({2});
  MiniHeap* c = Make({3, 4});
  for (MiniHeap* heap : {a, b, c}) heap->SetMemory(SpanMemory::kBacked, 7);
  a->Adopt(b);
  a->Adopt(c);
  a->CheckInvariants();
  EXPECT_EQ(a->in_use(), 5u);
  EXPECT_EQ(a->GroupOccupancy().Count(), 5u);
  EXPECT_TRUE(c->ClearSlot(3));
  c->NoteFreed(1);
  EXPECT_EQ(a->in_use(), 4u);
  EXPECT_EQ(c->leader(), a);
}

// 85 and 256 slots: what is beyond 64 lies outside of the record.
TEST_F(MiniHeapTest, GroupsOfSpansOfManySlots) {
  for (size_t size : {16u, 48u}) {
    MiniHeap* a = Make({0, 63}, size);
    MiniHeap* b = Make({64, 84}, size);
    ASSERT_EQ(a->slots(), kPageSize / size);
    for (MiniHeap* heap : {a, b}) heap->SetMemory(SpanMemory::kBacked, 7);
    a->Adopt(b);
    a->CheckInvariants();
    EXPECT_EQ(a->GroupOccupancy().Count(), 4u);
    EXPECT_TRUE(a->GroupOccupancy().IsSet(84));
    EXPECT_FALSE(b->ClearSlot(0));
    EXPECT_TRUE(b->ClearSlot(84));
    EXPECT_FALSE(b->ClearSlot(84));
    EXPECT_EQ(b->NoteFreed(1), a);
    EXPECT_TRUE(b->has_objects());
    b->ClearAllSlots();
    EXPECT_FALSE(b->has_objects());
    EXPECT_EQ(a->occupancy().Count(), 2u);
  }
}

// Ids come from where a record lies, in any segment.
TEST_F(MiniHeapTest, EverySpanKnowsItsIdAndUnits) {
  SizeClass c = ClassFor(256);
  auto other = std::make_unique<Arena>();
  for (uint32_t units = 1; units <= kSizeClasses[c].max_units; units *= 2) {
    for (Arena* arena : {arena_.get(), other.get()}) {
      const uint32_t words = MiniHeap::WordsOutside(c, units);
      SpanId id = arena->AllocateSpan(c, units);
      MiniHeap* heap = MiniHeap::Start(id, c, units, words > 0 ? pool_.Take(words) : nullptr);
      EXPECT_EQ(heap->id(), id);
      EXPECT_EQ(heap->units(), units);
      EXPECT_EQ(heap->slots(), kSizeClasses[c].slots * units);
      EXPECT_EQ(heap->words_outside() != nullptr, heap->slots() > 64);
      EXPECT_EQ(heap->leader(), heap);
    }
  }
}

// Who still has the id of a span that has ended asks for these without a lock.
TEST_F(MiniHeapTest, OwnerAndClassStayWhenThePagesAreAFreeRun) {
  const SizeClass c = ClassFor(64);
  std::vector<MiniHeap*> spans;
  for (int i = 0; i < 20; i++) spans.push_back(Start(c, 1));
  for (MiniHeap* span : spans) span->SetOwner(0xa5a5);
  for (size_t i = 0; i < spans.size(); i++) {
    MiniHeap* span = spans[i * 7 % spans.size()];
    arena_->FreeSpan(span->id(), 1, i % 2 == 0);
    for (MiniHeap* any : spans) {
      ASSERT_EQ(any->owner(), 0xa5a5);
      ASSERT_EQ(any->size_class(), c);
    }
  }
  arena_->CheckInvariants();
}

TEST(WordPoolTest, PiecesAreZeroedAndApart) {
  WordPool pool;
  std::vector<std::pair<uint64_t*, uint32_t>> pieces;
  for (uint32_t i = 0; i < 200; i++) {
    const uint32_t words = i % 3 == 0 ? 2 : 4;
    uint64_t* piece = pool.Take(words);
    ASSERT_NE(piece, nullptr);
    for (uint32_t w = 0; w < words; w++) {
      ASSERT_EQ(piece[w], 0u);
      piece[w] = ~uint64_t{i};
    }
    pieces.emplace_back(piece, words);
    if (i % 5 != 4) continue;
    auto [back, length] = pieces[i / 2 % pieces.size()];
    pool.Give(back, length);
    pieces.erase(pieces.begin() + i / 2 % pieces.size());
  }
  std::set<uint64_t*> words_seen;
  for (auto [piece, words] : pieces) {
    for (uint32_t w = 0; w < words; w++) {
      EXPECT_TRUE(words_seen.insert(piece + w).second);
      EXPECT_EQ(piece[w], piece[0]);
    }
  }
}

TEST_F(MiniHeapTest, LeavingHandsTheLeadOver) {
  MiniHeap* a = Make({0, 1});
  MiniHeap* b = Make({2});
  MiniHeap* c = Make({3, 4});
  for (MiniHeap* heap : {a, b, c}) heap->SetMemory(SpanMemory::kBacked, 7);
  a->Adopt(b);
  a->Adopt(c);
  MiniHeap* left = a->Leave();
  ASSERT_NE(left, nullptr);
  EXPECT_EQ(left->in_use(), 3u);
  left->CheckInvariants();
  a->CheckInvariants();
  EXPECT_TRUE(a->is_alone());
  MiniHeap* other = left == b ? c : b;
  EXPECT_EQ(other->Leave(), left);
  EXPECT_TRUE(left->is_alone());
  EXPECT_EQ(left->Leave(), nullptr);
}

TEST_F(MiniHeapTest, ListKeepsItsLinks) {
  SpanList list;
  MiniHeap* heaps[3] = {Make({}), Make({}), Make({})};
  for (MiniHeap* heap : heaps) list.PushFront(heap);
  list.Remove(heaps[1]);
  EXPECT_EQ(list.size(), 2u);
  EXPECT_EQ(list.front(), heaps[2]);
  EXPECT_EQ(SpanList::Next(heaps[2]), heaps[0]);
  list.Remove(heaps[2]);
  list.Remove(heaps[0]);
  EXPECT_TRUE(list.empty());
}

// [MH6], the tables in mini_heap.h: every transition, allowed or not.
TEST(MiniHeapStates, PlacesChangeByWayOfNowhere) {
  constexpr SpanPlace kPlaces[] = {SpanPlace::kNowhere, SpanPlace::kPartial, SpanPlace::kAttached,
                                   SpanPlace::kWithdrawn};
  for (SpanPlace from : kPlaces) {
    for (SpanPlace to : kPlaces) {
      bool allowed = from == SpanPlace::kNowhere || to == SpanPlace::kNowhere;
      EXPECT_EQ(MayBecome(from, to), allowed) << static_cast<int>(from) << static_cast<int>(to);
    }
  }
}

TEST(MiniHeapStates, MemoryChangesByMeshAndFork) {
  constexpr SpanMemory kPrivate = SpanMemory::kPrivate;
  constexpr SpanMemory kBacked = SpanMemory::kBacked;
  constexpr SpanMemory kSeparate = SpanMemory::kSeparate;
  for (SpanMemory to : {kPrivate, kBacked, kSeparate}) EXPECT_TRUE(MayBecome(kBacked, to));
  for (SpanMemory from : {kPrivate, kSeparate}) {
    EXPECT_TRUE(MayBecome(from, kBacked));
    EXPECT_FALSE(MayBecome(from, kPrivate));
    EXPECT_FALSE(MayBecome(from, kSeparate));
  }
}

#if MESH_DEBUG
using MiniHeapDeathTest = MiniHeapTest;

TEST_F(MiniHeapDeathTest, IllegalTransitionsEndTheProgram) {
  MiniHeap* heap = Make({0});
  EXPECT_DEATH(heap->SetMemory(SpanMemory::kSeparate, 7), "MayBecome");
  EXPECT_DEATH(heap->SetMemory(SpanMemory::kBacked, kNoBackingPage), "kNoBackingPage");
  heap->SetPlace(SpanPlace::kWithdrawn);
  EXPECT_DEATH(heap->SetPlace(SpanPlace::kAttached), "MayBecome");
  EXPECT_DEATH(heap->SetPlace(SpanPlace::kWithdrawn), "MayBecome");
}

TEST_F(MiniHeapDeathTest, AMemberIsInNoList) {
  MiniHeap* leader = Make({0});
  MiniHeap* member = Make({1});
  leader->SetMemory(SpanMemory::kBacked, 7);
  member->SetMemory(SpanMemory::kBacked, 7);
  leader->Adopt(member);
  EXPECT_DEATH(member->SetPlace(SpanPlace::kPartial), "is_leader");
}
#endif

}  // namespace
}  // namespace mesh
