// Tests of SizeClassHeap: slots in and out, spans that come and go, what compaction takes away.
#include "src/global/size_class_heap.h"

#include <gtest/gtest.h>
#include <stddef.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "src/global/size_class_batch.h"
#include "test/global/test_heap.h"

namespace mesh {
namespace {

constexpr SizeClass kSmall = ClassFor(16);
constexpr SizeClass kOther = ClassFor(64);
static_assert(kSizeClasses[kSmall].unit_pages == kSizeClasses[kOther].unit_pages);

TEST(SizeClassHeap, SpansComeAndGoWithTheirObjects) {
  TestHeap heap;
  for (SizeClass c = 1; c < kClassCount; c++) {
    std::vector<SpanObjects> spans = heap.MakeFull(c, 3);
    heap.CheckAll();
    EXPECT_EQ(heap.heap_of(c).statistics().spans, 3u);
    for (SpanObjects& span : spans) {
      heap.Thin(span, [](size_t slot) { return slot == 0; });
      heap.Thin(span, [](size_t) { return false; });
    }
    heap.CheckAll();
    EXPECT_EQ(heap.heap_of(c).statistics().spans, 0u) << "class " << int{c};
  }
}

TEST(SizeClassHeap, RefillsFromTheFullestSpan) {
  TestHeap heap;
  std::vector<SpanObjects> spans = heap.MakeFull(kOther, 3);
  size_t slots = spans[0].size();
  heap.Thin(spans[0], [](size_t slot) { return slot < 2; });
  heap.Thin(spans[1], [&](size_t slot) { return slot < slots - 1; });
  heap.Thin(spans[2], [&](size_t slot) { return slot < slots / 2; });
  MiniHeap* fullest = SpanOf(spans[1][0]);
  EXPECT_EQ(SpanOf(heap.Allocate(kOther)), fullest);
  EXPECT_EQ(SpanOf(heap.Allocate(kOther)), SpanOf(spans[2][0]));
  heap.CheckAll();
}

// A thread heap that takes one slot after the other.
class Taker {
 public:
  Taker(SizeClassHeap& heap, uint16_t id) : heap_(heap), id_(id) {}
  ~Taker() {
    heap_.Release(objects_.data(), static_cast<uint32_t>(objects_.size()), [] {});
    heap_.Detach(id_, attached_);
  }
  MiniHeap* Take() {
    void* object = nullptr;
    EXPECT_EQ(heap_.Refill(id_, &attached_, random_, SlotOrder::kAscending, &object, 1, 1), 1u);
    objects_.push_back(object);
    return SpanOf(static_cast<char*>(object));
  }
  // Takes all slots of `count` spans, and lets go.
  void TakeSpans(size_t count) {
    for (size_t i = 0; i < count * kSizeClasses[kOther].slots; i++) Take();
    heap_.Detach(id_, attached_);
    attached_ = kNoSpan;
  }
  void Free(size_t index) {
    heap_.Release(&objects_[index], 1, [] {});
    objects_.erase(objects_.begin() + static_cast<ptrdiff_t>(index));
  }

 private:
  SizeClassHeap& heap_;
  uint16_t id_;
  SpanId attached_ = kNoSpan;
  Random random_{1};
  std::vector<void*> objects_;
};

TEST(SizeClassHeap, ThreadsComeBackToTheirOwnSpans) {
  TestHeap heap;
  Taker one(heap.heap_of(kOther), 1);
  Taker two(heap.heap_of(kOther), 2);
  one.TakeSpans(2);
  two.TakeSpans(2);
  one.Free(0);
  two.Free(0);
  two.Free(0);  // the sparser one
  MiniHeap* ones = one.Take();
  MiniHeap* twos = two.Take();
  EXPECT_TRUE(ones->IsHomeOf(1));
  EXPECT_TRUE(twos->IsHomeOf(2));
  EXPECT_EQ(heap.heap_of(kOther).statistics().spans, 4u);
}

TEST(SizeClassHeap, OthersSpansAreTakenWhenManySlotsAreFree) {
  TestHeap heap;
  Taker one(heap.heap_of(kOther), 1);
  Taker two(heap.heap_of(kOther), 2);
  one.TakeSpans(4);
  one.Free(0);
  EXPECT_TRUE(two.Take()->IsHomeOf(2));
  EXPECT_EQ(heap.heap_of(kOther).statistics().spans, 5u);
  for (int i = 0; i < 100; i++) one.Free(0);
  Taker three(heap.heap_of(kOther), 3);
  three.Take();
  EXPECT_LE(heap.heap_of(kOther).statistics().spans, 5u);
}

// What is kept of each four objects in a row would lie at the same slots of all spans otherwise.
TEST(SizeClassHeap, SlotsThatFillLinesAreSharedFromAnyOneOn) {
  for (size_t size : {256, 2048}) {
    TestHeap heap;
    const SizeClass size_class = ClassFor(size);
    const SizeClassInfo& info = kSizeClasses[size_class];
    Random random(1);
    std::vector<void*> objects(info.slots);
    size_t starts[4] = {};
    std::vector<void*> all;
    for (int span = 0; span < 64; span++) {
      ASSERT_EQ(heap.heap_of(size_class)
                    .Refill(3, nullptr, random, SlotOrder::kRandomStart, objects.data(), info.slots,
                            info.slots),
                info.slots);
      // The last one is handed out first.
      auto* first = static_cast<char*>(objects.back());
      const MiniHeap* from = SpanOf(first);
      starts[from->SlotAt(reinterpret_cast<uintptr_t>(first) - from->address()) % 4]++;
      all.insert(all.end(), objects.begin(), objects.end());
    }
    for (size_t count : starts) EXPECT_GT(count, 0u) << size;
    heap.heap_of(size_class).Release(all.data(), static_cast<uint32_t>(all.size()), [] {});
  }
}

TEST(SizeClassHeap, GivesNothingWithoutMemory) {
  TestHeap heap;
  char* object = heap.Allocate(kSmall);
  ASSERT_NE(object, nullptr);
  heap.FreeAll();
  heap.CheckAll();
}

// The thread still remembers the span that it drew from. Compaction takes it away, the arena gives
// it to another class, and the same thread draws from it there.
TEST(SizeClassHeap, ASpanThatWasTakenAwayIsNotDrawnFrom) {
  TestHeap heap;
  char* object = heap.Allocate(kSmall);
  uintptr_t address = SpanOf(object)->address();
  heap.Free(object);
  heap.Compact();
  char* other = heap.Allocate(kOther);
  ASSERT_EQ(SpanOf(other)->address(), address) << "the test expects the arena to reuse the pages";
  object = heap.Allocate(kSmall);
  EXPECT_NE(SpanOf(object), SpanOf(other));
  heap.CheckAll();
  heap.FreeAll();
  heap.CheckAll();
}

// The same, but the place is the middle of a longer span by now, or nothing at all.
TEST(SizeClassHeap, ASpanThatWasTakenAwayMayBeAnything) {
  for (bool is_reused : {true, false}) {
    TestHeap heap;
    constexpr SizeClass kLong = ClassFor(3840);
    static_assert(kSizeClasses[kLong].unit_pages > 1);
    std::vector<char*> objects;
    for (SizeClass c = 1; kSizeClasses[c].unit_pages == 1; c++) objects.push_back(heap.Allocate(c));
    for (char* object : objects) heap.Free(object);
    heap.Compact();
    while (is_reused && objects.size() < 200) objects.push_back(heap.Allocate(kLong));
    for (SizeClass c = 1; kSizeClasses[c].unit_pages == 1; c++) heap.Allocate(c);
    heap.CheckAll();
    heap.FreeAll();
    heap.CheckAll();
  }
}

TEST(SizeClassHeap, OthersCannotDetachASpan) {
  TestHeap heap;
  char* object = heap.Allocate(kSmall);
  SpanId id = SpanOf(object)->id();
  EXPECT_EQ(heap.heap_of(kSmall).statistics().attached, 1u);
  heap.heap_of(kSmall).Detach(1234, id);
  EXPECT_EQ(heap.heap_of(kSmall).statistics().attached, 1u);
  heap.heap_of(kOther).Detach(TestHeap::kOwner, id);
  EXPECT_EQ(heap.heap_of(kSmall).statistics().attached, 1u);
  heap.FreeAll();
  heap.CheckAll();
}

using SizeClassHeapDeathTest = testing::Test;

TEST(SizeClassHeapDeathTest, MisuseEndsTheProgram) {
  TestHeap heap;
  char* object = heap.Allocate(kOther);
  heap.Allocate(kOther);
  void* inside = object + 16;
  EXPECT_DEATH(heap.heap_of(kOther).Release(&inside, 1, [] {}), "middle of an object");
  void* twice[] = {object, object};
  EXPECT_DEATH(heap.heap_of(kOther).Release(twice, 2, [] {}), "double free");
}

// The span is empty, and would go, before its first object comes again.
TEST(SizeClassHeapDeathTest, DoubleFreeIsFoundInABatchThatEmptiesTheSpan) {
  TestHeap heap;
  SpanObjects span = heap.MakeFull(kOther, 1)[0];
  std::vector<void*> pointers(span.begin(), span.end());
  pointers.back() = pointers.front();
  heap.Free(span.back());
  EXPECT_DEATH(heap.heap_of(kOther).Release(pointers.data(), 64, [] {}), "double free");
}

// All spans of a group, its leader among them, lose their last objects in one batch, by turns.
TEST(SizeClassHeap, AGroupGoesInOneBatch) {
  TestHeap heap;
  std::vector<SpanObjects> spans = heap.MakeFull(kOther, 3);
  std::vector<char*> left;
  for (size_t i = 0; i < spans.size(); i++) {
    heap.Thin(spans[i], [&](size_t slot) { return slot % 3 == i; });
  }
  for (size_t slot = 0; slot < spans[0].size(); slot++) {
    if (char* object = spans[slot % 3][slot]; object != nullptr) left.push_back(object);
  }
  EXPECT_EQ(heap.MeshIntoOne(kOther).members_gained, 2);
  heap.CheckAll();
  heap.FreeAtOnce(left);
  heap.CheckAll();
  EXPECT_EQ(heap.heap_of(kOther).statistics().spans, 0u);
  EXPECT_EQ(heap.heap_of(kOther).statistics().meshed, 0u);
}

// A batch as long as a vector, over many spans.
TEST(SizeClassHeap, BatchesOfAnyLengthAndOrder) {
  TestHeap heap;
  Random random(1);
  std::vector<char*> objects;
  for (int i = 0; i < 3000; i++) objects.push_back(heap.Allocate(kOther));
  for (size_t i = objects.size(); i > 1; i--) {
    std::swap(objects[i - 1], objects[random.Below(static_cast<uint32_t>(i))]);
  }
  for (size_t next = 0; next < objects.size();) {
    size_t count = std::min<size_t>(1 + random.Below(200), objects.size() - next);
    heap.FreeAtOnce(std::span(objects).subspan(next, count));
    next += count;
    heap.CheckInvariants();
  }
  heap.FreeAll();
  EXPECT_EQ(heap.heap_of(kOther).statistics().spans, 0u);
}

TEST(SizeClassHeap, LenientReleasePassesOverWhatIsNoObject) {
  TestHeap heap;
  char* object = heap.Allocate(kOther);
  heap.Allocate(kOther);
  void* pointer = object;
  void* pointers[] = {object, reinterpret_cast<void*>(SpanOf(object)->address() - kPageSize)};
  heap.Free(object);
  heap.heap_of(kOther).Release(
      pointers, 2, [] {}, true);
  heap.heap_of(kOther).Release(
      &pointer, 1, [] {}, true);
  heap.CheckAll();
}

TEST(SizeClassHeap, SurveyFindsWhatHasRoom) {
  TestHeap heap;
  std::vector<SpanObjects> spans = heap.MakeFull(kOther, 3);
  heap.Thin(spans[0], [](size_t slot) { return slot == 0; });
  heap.Thin(spans[1], [](size_t slot) { return slot != 0; });  // too full to be worth it
  Candidate found[8];
  SpanId cursor = kNoSpan;
  ASSERT_EQ(heap.heap_of(kOther).Survey(&cursor, false, found), 1u);
  EXPECT_EQ(cursor, kNoSpan);
  EXPECT_EQ(found[0].id, SpanOf(spans[0][0])->id());
  EXPECT_EQ(found[0].in_use, 1u);
  EXPECT_EQ(found[0].bits.Count(), 1u);
  heap.CheckAll();
}

TEST(SizeClassHeap, SurveyGoesOnWhereItStopped) {
  TestHeap heap;
  for (SpanObjects& span : heap.MakeFull(kOther, 5)) {
    heap.Thin(span, [](size_t slot) { return slot == 0; });
  }
  std::vector<SpanId> seen;
  SpanId cursor = kNoSpan;
  do {
    Candidate found[2];
    uint32_t count = heap.heap_of(kOther).Survey(&cursor, false, found);
    for (uint32_t i = 0; i < count; i++) seen.push_back(found[i].id);
  } while (cursor != kNoSpan);
  EXPECT_EQ(seen.size(), 5u);
  EXPECT_TRUE(std::is_sorted(seen.begin(), seen.end()));
}

// A plan is older than its batch: what has changed since is left out.
// Frees leave spans in the bins of full ones; what is full is in no list.
TEST(SizeClassHeap, DemandLooksAtSpansThemselves) {
  constexpr SizeClass kClass = ClassFor(96);
  const SizeClassInfo& info = kSizeClasses[kClass];
  TestHeap heap;
  std::vector<SpanObjects> spans = heap.MakeFull(kClass, 30);
  EXPECT_EQ(heap.heap_of(kClass).demand().pages, 0u);
  for (size_t i = 0; i < 20; i++) heap.Thin(spans[i], [](size_t slot) { return slot % 8 == 0; });
  MeshDemand demand = heap.heap_of(kClass).demand();
  EXPECT_EQ(demand.unit_pages, info.unit_pages);
  EXPECT_EQ(demand.unit_slots, info.slots);
  EXPECT_EQ(demand.pages, 20 * info.unit_pages);
  EXPECT_EQ(demand.plain_pages, 20 * info.unit_pages);
  EXPECT_NEAR(demand.live, ((info.slots + 7) / 8) / static_cast<double>(info.slots), 0.01);
  EXPECT_EQ(demand.lengths[0], 1);
  EXPECT_EQ(demand.lengths[1], 0);
}

// Each for itself: members and leaders alike, but not those without objects or of full groups.
TEST(SizeClassHeap, SurveyOfEachFindsMembers) {
  TestHeap heap;
  std::vector<SpanObjects> spans = heap.MakeFull(kOther, 5);
  for (size_t i = 0; i < 4; i++) {
    heap.Thin(spans[i], [&](size_t slot) { return slot % 8 == i; });
  }
  heap.MeshInGroupsOf(2, kOther);
  Candidate found[8];
  SpanId cursor = kNoSpan;
  ASSERT_EQ(heap.heap_of(kOther).Survey(&cursor, true, found), 4u);
  for (size_t i = 0; i < 4; i++) {
    const MiniHeap* span = SpanOf(spans[i][i]);
    EXPECT_EQ(found[i].id, span->id());
    EXPECT_EQ(found[i].backing, span->backing());
    EXPECT_TRUE(found[i].bits == span->occupancy());
    EXPECT_EQ(found[i].in_use, span->occupancy().Count());
  }
}

TEST(SizeClassHeap, GatherOneLeavesOutWhatNoLongerFits) {
  TestHeap heap;
  std::vector<SpanObjects> spans = heap.MakeFull(kOther, 6);
  std::vector<SpanId> ids;
  for (size_t i = 0; i < spans.size(); i++) {
    ids.push_back(SpanOf(spans[i][0])->id());
    // The last has the first one's slots, and is alone.
    heap.Thin(spans[i], [&](size_t slot) { return slot % 8 == i % 5; });
    if (i == 3) heap.MeshInGroupsOf(2, kOther);
  }
  SizeClassHeap& other = heap.heap_of(kOther);
  // The second has gone.
  heap.Thin(spans[1], [](size_t) { return false; });
  Mesher mesher(heap.global().backing(), heap.global().barrier(), heap.global().budget());
  other.MeshBatch(mesher, [&](Gathered* gathered) {
    auto gather = [&](size_t span, SpanId to, uint32_t most) {
      return other.GatherOneLocked(ids[span], to, 1, most, gathered);
    };
    EXPECT_EQ(gather(1, kNoSpan, 64).span, nullptr);
    EXPECT_EQ(gather(0, ids[1], 64).span, nullptr);
    EXPECT_EQ(gather(2, ids[3], 64).span, nullptr);  // of one group
    EXPECT_EQ(gather(5, ids[0], 64).span, nullptr);  // overlaps
    EXPECT_EQ(gather(0, ids[4], 64).span, nullptr);  // not in the backing
    EXPECT_EQ(gather(4, ids[2], 2).span, nullptr);   // as many as may be
    EXPECT_EQ(other.GatherOneLocked(ids[0], kNoSpan, 2, 64, gathered).span, nullptr);
    EXPECT_EQ(gathered->room(), Gathered().room());
    const GatheredSpan found = gather(4, ids[2], 64);
    ASSERT_EQ(found.span, MiniHeap::Of(ids[4]));
    EXPECT_EQ(found.target, MiniHeap::Of(ids[2])->leader());
    EXPECT_EQ(found.withdrawn, 2u);
    // What is withdrawn is so for this batch: once.
    EXPECT_EQ(gather(3, kNoSpan, 64).withdrawn, 0u);
  });
  heap.CheckAll();
}

TEST(SizeClassHeap, GatherLeavesOutWhatNoLongerFits) {
  TestHeap heap;
  std::vector<SpanObjects> spans = heap.MakeFull(kOther, 4);
  std::vector<SpanId> ids;
  for (size_t i = 0; i < spans.size(); i++) {
    ids.push_back(SpanOf(spans[i][0])->id());
    // The third overlaps the first.
    heap.Thin(spans[i], [&](size_t slot) { return slot % 4 == i % 2 || (i == 3 && slot == 2); });
  }
  // The second has gone.
  heap.Thin(spans[1], [](size_t) { return false; });
  Mesher mesher(heap.global().backing(), heap.global().barrier(), heap.global().budget());
  heap.heap_of(kOther).MeshBatch(mesher, [&](Gathered* gathered) {
    std::span<MiniHeap*> leaders = heap.heap_of(kOther).GatherLocked(ids, 1, 64, gathered);
    ASSERT_EQ(leaders.size(), 2u);
    EXPECT_EQ(leaders[0]->id(), ids[0]);
    EXPECT_EQ(leaders[1]->id(), ids[3]);
    EXPECT_EQ(leaders[0]->place(), SpanPlace::kWithdrawn);
  });
  // Nothing was added to the mesher: all is as it was.
  EXPECT_EQ(SpanOf(spans[0][0])->place(), SpanPlace::kPartial);
  heap.CheckAll();
}

}  // namespace
}  // namespace mesh
