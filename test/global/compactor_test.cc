// Tests of whole passes: what they find, where they stop, what they leave for the next.
#include "src/global/compactor.h"

#include <gtest/gtest.h>
#include <sys/mman.h>

#include <atomic>
#include <cerrno>
#include <thread>
#include <vector>

#include "src/os/process.h"
#include "test/global/test_heap.h"
#include "test/os/fault_injector.h"

namespace mesh {
namespace {

using os::Call;
using os::FaultInjector;

constexpr SizeClass kSmall = ClassFor(64);
constexpr SizeClass kLarger = ClassFor(512);

// Spans of which every pair but a few can be meshed: one slot of sixteen is in use.
void MakeSparse(TestHeap& heap, SizeClass size_class, size_t count) {
  std::vector<SpanObjects> spans = heap.MakeFull(size_class, count);
  for (size_t i = 0; i < spans.size(); i++) {
    heap.Thin(spans[i], [&](size_t slot) { return slot % 8 == i % 8; });
  }
}

// Mappings that come beside those of the mesher: the backing's window, scratch memory, and what a
// sanitizer maps.
constexpr int64_t kOthers = 64;

// Takes slots of the class and frees them, until it is over.
void UseSlots(SizeClassHeap& heap, const std::atomic<bool>& is_over) {
  Random random(3);
  SpanId attached = kNoSpan;
  while (!is_over) {
    void* slots[40];
    uint32_t count = heap.Refill(99, &attached, random, SlotOrder::kShuffled, slots, 40, 40);
    heap.Release(slots, count, [] {});
  }
  heap.Detach(99, attached);
}

// Compacts several times beside another thread that uses slots of the class, and looks at all.
void CompactInUse(TestHeap& heap, SizeClassHeap& of_class, int times) {
  std::atomic<bool> is_over = false;
  std::thread user([&] { UseSlots(of_class, is_over); });
  for (int i = 0; i < times; i++) heap.Compact();
  is_over = true;
  user.join();
  heap.CheckAll();
}

// Mappings of the program's own, so many that meshing has `left` of its budget left.
class ForeignMappings {
 public:
  ForeignMappings(MappingBudget& budget, int64_t left) {
    budget.Refresh();
    count_ = static_cast<size_t>(budget.left() - left);
    void* place = mmap(nullptr, count_ * kPageSize, PROT_NONE, kFlags, -1, 0);
    EXPECT_NE(place, MAP_FAILED);
    address_ = static_cast<char*>(place);
    // Every other page: two mappings each.
    for (size_t page = 1; page < count_; page += 2) {
      EXPECT_EQ(mprotect(address_ + page * kPageSize, kPageSize, PROT_READ), 0);
    }
    EXPECT_TRUE(budget.Take(budget.left() - left));
    budget.Refresh();
    EXPECT_NEAR(static_cast<double>(budget.left()), static_cast<double>(left), 8);
  }
  ~ForeignMappings() { munmap(address_, count_ * kPageSize); }
  ForeignMappings(const ForeignMappings&) = delete;
  ForeignMappings& operator=(const ForeignMappings&) = delete;

 private:
  static constexpr int kFlags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
  char* address_ = nullptr;
  size_t count_ = 0;
};

TEST(Compactor, MeshesEveryClassAsFarAsItGoes) {
  TestHeap heap;
  MakeSparse(heap, kSmall, 64);
  MakeSparse(heap, kLarger, 64);
  size_t freed = heap.Compact();
  heap.CheckAll();
  // Eight patterns that do not overlap: eight spans share the memory of one.
  size_t pages = 64 * (kSizeClasses[kSmall].unit_pages + kSizeClasses[kLarger].unit_pages);
  EXPECT_EQ(freed, pages * 7 / 8 * kPageSize);
  EXPECT_EQ(heap.Compact(), 0u);
  CompactorStatistics statistics = heap.global().compactor().statistics();
  EXPECT_EQ(statistics.passes, 2u);
  EXPECT_EQ(statistics.spans_meshed, 2 * 64 * 7 / 8);
  EXPECT_EQ(statistics.pages_saved_peak, freed / kPageSize);
  EXPECT_GT(statistics.longest_pause_ns, 0u);
}

TEST(Compactor, LooksOnlyWhereSomethingHasChanged) {
  TestHeap heap;
  MakeSparse(heap, kSmall, 16);
  PassLimits limits;
  limits.looks_per_class = 1 << 20;
  EXPECT_GT(heap.global().compactor().Run(limits, true).freed, 0u);
  FaultInjector injector;
  EXPECT_EQ(heap.global().compactor().Run(limits, true).freed, 0u);
  EXPECT_EQ(injector.count(Call::kAlias), 0);
  MakeSparse(heap, kSmall, 16);
  EXPECT_GT(heap.global().compactor().Run(limits, true).freed, 0u);
  heap.CheckAll();
}

TEST(Compactor, StopsAtItsDeadlineAndGoesOnNextTime) {
  TestHeap heap;
  MakeSparse(heap, kSmall, 64);
  PassLimits limits;
  limits.looks_per_class = 1 << 20;
  limits.deadline_ns = os::MonotonicNs();
  EXPECT_EQ(heap.global().compactor().Run(limits, true).freed, 0u);
  heap.CheckAll();
  limits.deadline_ns = UINT64_MAX;
  EXPECT_GT(heap.global().compactor().Run(limits, true).freed, 0u);
  heap.CheckAll();
}

TEST(Compactor, StopsWhenTheMappingsRunOut) {
  TestHeap heap;
  MappingBudget& budget = heap.global().budget();
  ForeignMappings foreign(budget, 30 * MappingBudget::kPerAlias);
  MakeSparse(heap, kSmall, 640);
  for (int pass = 0; pass < 20; pass++) heap.Compact();
  heap.CheckAll();
  EXPECT_LE(budget.used(), budget.limit());
  EXPECT_LE(static_cast<int64_t>(os::MappingCount().value), budget.limit() + kOthers);
  EXPECT_GT(heap.heap_of(kSmall).statistics().meshed, 0u);
  EXPECT_LT(heap.heap_of(kSmall).statistics().meshed, 560u);
  EXPECT_GT(heap.global().compactor().statistics().mappings_refused, 0u);
  heap.FreeAll();
  heap.CheckAll();
}

// Where mappings are scarce, neighbours are placed on neighbours, so that they share one.
TEST(Compactor, MeshesRunsWhenMappingsAreFew) {
  TestHeap heap;
  // A third of what the spans would need, each for itself.
  ForeignMappings foreign(heap.global().budget(), 213);
  std::vector<SpanObjects> spans = heap.MakeFull(kSmall, 640);
  Random random(5);
  for (SpanObjects& span : spans) {
    heap.Thin(span, [&](size_t) { return random.Below(10) == 0; });
  }
  for (int pass = 0; pass < 20; pass++) heap.Compact();
  heap.CheckAll();
  EXPECT_GT(heap.heap_of(kSmall).statistics().meshed, 370u);
  EXPECT_LE(static_cast<int64_t>(os::MappingCount().value),
            heap.global().budget().limit() + kOthers);
  heap.FreeAll();
  heap.CheckAll();
}

// Keeps a share of the objects that are left.
void ThinAtRandom(TestHeap& heap, std::vector<SpanObjects>& spans, Random& random,
                  uint32_t percent) {
  for (SpanObjects& span : spans) {
    heap.Thin(span, [&](size_t) { return random.Below(100) < percent; });
  }
}

// Mappings that were spent while little was free are had back when more is: the heap comes to what
// it would be had all been freed at once.
TEST(Compactor, PlansGroupsAnewWhenMappingsAreFew) {
  uint64_t meshed[2];
  for (bool in_stages : {false, true}) {
    TestHeap heap;
    ForeignMappings foreign(heap.global().budget(), 213);
    std::vector<SpanObjects> spans = heap.MakeFull(kSmall, 640);
    Random random(5);
    for (uint32_t percent : {30, 60, 60}) {
      ThinAtRandom(heap, spans, random, percent);
      for (int pass = 0; in_stages && pass < 20; pass++) heap.Compact();
    }
    for (int pass = 0; pass < 20; pass++) heap.Compact();
    heap.CheckAll();
    EXPECT_LE(static_cast<int64_t>(os::MappingCount().value),
              heap.global().budget().limit() + kOthers);
    const SizeClassStatistics statistics = heap.heap_of(kSmall).statistics();
    meshed[in_stages ? 1 : 0] = statistics.meshed;
    const uint64_t saved = heap.global().compactor().statistics().spans_meshed;
    EXPECT_LE(statistics.meshed, saved);
    heap.RewriteAll();
    heap.FreeAll();
    heap.CheckAll();
    EXPECT_EQ(heap.global().backing().bytes_in_use(), 0u);
  }
  EXPECT_GT(meshed[0], 320u);
  EXPECT_GT(meshed[1], meshed[0] * 9 / 10);
}

// What the budget counts is what the kernel has, as spans are meshed, meshed anew, and freed.
TEST(Compactor, TheMappingsAreCountedByTheirEdges) {
  TestHeap heap;
  MappingBudget& budget = heap.global().budget();
  MakeSparse(heap, kSmall, 200);
  budget.Refresh();
  heap.Compact();
  auto in_kernel = [] { return static_cast<int64_t>(os::MappingCount().value); };
  // The window of the backing and the scratch memory are the only others.
  EXPECT_NEAR(static_cast<double>(in_kernel()), static_cast<double>(budget.used()), 4);
  MakeSparse(heap, kSmall, 100);
  heap.Compact();
  EXPECT_NEAR(static_cast<double>(in_kernel()), static_cast<double>(budget.used()), 8);
  heap.FreeAll();
  EXPECT_LE(budget.used(), in_kernel() + 8);
  heap.CheckAll();
}

TEST(Compactor, DoesNothingWithoutABarrier) {
  TestHeap heap(BarrierTier::kNone);
  MakeSparse(heap, kSmall, 16);
  EXPECT_EQ(heap.Compact(), 0u);
  EXPECT_EQ(heap.global().backing().bytes_in_use(), 0u);
  EXPECT_GT(heap.global().compactor().statistics().barrier_failed, 0u);
  heap.CheckAll();
}

TEST(Compactor, DoesNothingWithoutScratchMemory) {
  TestHeap heap;
  MakeSparse(heap, kSmall, 16);
  {
    FaultInjector injector;
    injector.Refuse(Call::kMapAnonymous, ENOMEM, 1, FaultInjector::kForever);
    EXPECT_EQ(heap.Compact(), 0u);
  }
  EXPECT_GT(heap.Compact(), 0u);
  heap.CheckAll();
}

// Objects that are never meshed, and spans too full to be worth it.
TEST(Compactor, LeavesOthersAlone) {
  TestHeap heap;
  MakeSparse(heap, kFirstPinnedClass, 16);
  for (SpanObjects& span : heap.MakeFull(kSmall, 16)) {
    heap.Thin(span, [](size_t slot) { return slot != 3; });
  }
  EXPECT_EQ(heap.Compact(), 0u);
  EXPECT_EQ(heap.global().backing().bytes_in_use(), 0u);
  heap.CheckAll();
}

// Pages of the arena's small segments that have memory.
size_t ResidentPages(TestHeap& heap) {
  size_t resident = 0;
  heap.global().arena().ForEachSmallSegment([&](uintptr_t address, size_t length) {
    std::vector<unsigned char> pages(length / kPageSize);
    EXPECT_EQ(mincore(reinterpret_cast<void*>(address), length, pages.data()), 0);
    for (unsigned char page : pages) resident += page & 1;
  });
  return resident;
}

// One object is left in each span: its pages stay, whether it fills them or not.
TEST(Compactor, ReturnsPagesOfSpansThatAreNeverMeshed) {
  constexpr size_t kSpans = 16;
  for (size_t size : {4096, 5120, 12288}) {
    TestHeap heap;
    constexpr auto kFirstSlot = [](size_t slot) { return slot == 0; };
    const SizeClass size_class = ClassFor(size);
    for (SpanObjects& span : heap.MakeFull(size_class, kSpans)) heap.Thin(span, kFirstSlot);
    const size_t before = ResidentPages(heap);
    const size_t kept = RoundUp(size, kPageSize) / kPageSize;
    const size_t gone = kSpans * (kSizeClasses[size_class].unit_pages - kept);
    EXPECT_EQ(heap.Compact(), gone * kPageSize) << size;
    EXPECT_EQ(ResidentPages(heap), before - gone) << size;
    heap.CheckAll();
    EXPECT_EQ(heap.Compact(), 0u) << "what has no memory is not returned again";
    while (heap.object_count() < kSpans * kSizeClasses[size_class].slots) {
      ASSERT_NE(heap.Allocate(size_class), nullptr);
    }
    EXPECT_EQ(heap.heap_of(size_class).statistics().spans, kSpans);
    heap.CheckAll();
    heap.FreeAll();
  }
}

// Beside a busy program, what was used since the last look stays.
TEST(Compactor, KeepsPagesThatWereUsedRecently) {
  TestHeap heap;
  constexpr SizeClass kPages = ClassFor(4096);
  constexpr size_t kSpans = 64;
  std::vector<SpanObjects> spans = heap.MakeFull(kPages, kSpans);
  for (SpanObjects& span : spans) heap.Thin(span, [](size_t slot) { return slot < 2; });
  PassLimits limits;
  limits.keeps_recent = true;
  PassResult first = heap.global().compactor().Run(limits, true);
  EXPECT_EQ(first.freed, 0u);
  EXPECT_TRUE(first.has_kept);
  for (SpanObjects& span : spans) heap.Thin(span, [](size_t slot) { return slot < 1; });
  PassResult second = heap.global().compactor().Run(limits, true);
  EXPECT_EQ(second.freed, kSpans * (kSizeClasses[kPages].slots - 2) * kPageSize);
  EXPECT_TRUE(second.has_kept);
  PassResult third = heap.global().compactor().Run(limits, true);
  EXPECT_EQ(third.freed, kSpans * kPageSize);
  EXPECT_FALSE(third.has_kept);
  EXPECT_FALSE(heap.global().compactor().Run(limits, true).has_kept);
  heap.CheckAll();
}

// Beside a busy program, a class of which little is free is not even looked at.
TEST(Compactor, LeavesDenseClassesAloneBesideAProgramAtWork) {
  TestHeap heap;
  heap.MakeFull(kSmall, 128);
  MakeSparse(heap, kSmall, 8);
  PassLimits limits;
  limits.looks_per_class = 1 << 20;
  limits.keeps_recent = true;
  FaultInjector injector;
  PassResult at_work = heap.global().compactor().Run(limits, true);
  EXPECT_TRUE(at_work.is_complete);
  EXPECT_TRUE(at_work.has_kept) << "nobody will look when the program is quiet";
  EXPECT_EQ(injector.count(Call::kAlias), 0);
  limits.keeps_recent = false;
  PassResult quiet = heap.global().compactor().Run(limits, true);
  EXPECT_FALSE(quiet.has_kept);
  EXPECT_GT(quiet.freed, 0u);
  // What is not dense is meshed at work, too.
  MakeSparse(heap, kLarger, 64);
  limits.keeps_recent = true;
  EXPECT_GT(heap.global().compactor().Run(limits, true).freed, 0u);
  heap.CheckAll();
}

// What was returned is no reason for another walk, but what is used and freed again is.
TEST(Compactor, LooksForPagesWhereSomeMayHaveMemory) {
  TestHeap heap;
  constexpr SizeClass kPages = ClassFor(4096);
  std::vector<SpanObjects> spans = heap.MakeFull(kPages, 16);
  for (SpanObjects& span : spans) heap.Thin(span, [](size_t slot) { return slot < 2; });
  SizeClassHeap& pages = heap.heap_of(kPages);
  EXPECT_TRUE(pages.IsWorthTrimming(false));
  EXPECT_FALSE(pages.IsWorthTrimming(true)) << "less than a megabyte";
  heap.Compact();
  EXPECT_FALSE(pages.IsWorthTrimming(false));
  std::vector<char*> again(16);
  for (char*& object : again) object = heap.Allocate(kPages);
  for (char* object : again) heap.Free(object);
  EXPECT_TRUE(pages.IsWorthTrimming(false));
  EXPECT_EQ(heap.Compact(), again.size() * kPageSize);
  heap.CheckAll();
}

TEST(Compactor, OneAtATime) {
  TestHeap heap;
  MakeSparse(heap, kSmall, 16);
  MutexLock lock(heap.global().compactor().lock());
  size_t freed = 1;
  std::thread([&] { freed = heap.global().compactor().Run(PassLimits(), false).freed; }).join();
  EXPECT_EQ(freed, 0u);
}

// The same while groups are planned anew.
TEST(Compactor, TheHeapIsInUseWhileGroupsArePlannedAnew) {
  TestHeap heap;
  ForeignMappings foreign(heap.global().budget(), 213);
  std::vector<SpanObjects> spans = heap.MakeFull(kSmall, 640);
  Random random(5);
  SizeClassHeap& small = heap.heap_of(kSmall);
  for (uint32_t percent : {30, 60, 60, 60}) {
    ThinAtRandom(heap, spans, random, percent);
    CompactInUse(heap, small, 10);
  }
  heap.FreeAll();
  heap.CheckAll();
  EXPECT_EQ(small.statistics().spans, 0u);
}

// Slots are freed and taken by another thread between the batches of a pass.
TEST(Compactor, TheHeapIsInUseBetweenBatches) {
  TestHeap heap;
  MakeSparse(heap, kSmall, 500);
  SizeClassHeap& small = heap.heap_of(kSmall);
  CompactInUse(heap, small, 20);
  heap.FreeAll();
  heap.CheckAll();
  EXPECT_EQ(small.statistics().spans, 0u);
}

}  // namespace
}  // namespace mesh
