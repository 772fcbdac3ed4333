// Tests of whole passes: what they find, where they stop, what they leave for the next.
#include "src/global/compactor.h"

#include <gtest/gtest.h>

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
  limits.tests_per_class = 1 << 20;
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
  limits.tests_per_class = 1 << 20;
  limits.deadline_ns = os::MonotonicNs();
  EXPECT_EQ(heap.global().compactor().Run(limits, true).freed, 0u);
  heap.CheckAll();
  limits.deadline_ns = UINT64_MAX;
  EXPECT_GT(heap.global().compactor().Run(limits, true).freed, 0u);
  heap.CheckAll();
}

TEST(Compactor, StopsWhenTheMappingsRunOut) {
  TestHeap heap;
  MakeSparse(heap, kSmall, 64);
  MappingBudget& budget = heap.global().budget();
  budget.Refresh();
  // Room for a few aliases only; the kernel's own count is not asked again.
  FaultInjector injector;
  injector.Refuse(Call::kOpen, EACCES, 1, FaultInjector::kForever);
  ASSERT_TRUE(budget.Take(budget.limit() - budget.used() - 10 * MappingBudget::kPerAlias));
  heap.Compact();
  heap.CheckAll();
  EXPECT_LE(budget.used(), budget.limit());
  EXPECT_LE(heap.heap_of(kSmall).statistics().meshed, 10u);
  EXPECT_GT(heap.global().compactor().statistics().mappings_refused, 0u);
  heap.FreeAll();
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
  MakeSparse(heap, ClassFor(4096), 16);
  MakeSparse(heap, kFirstPinnedClass, 16);
  for (SpanObjects& span : heap.MakeFull(kSmall, 16)) {
    heap.Thin(span, [](size_t slot) { return slot != 3; });
  }
  EXPECT_EQ(heap.Compact(), 0u);
  EXPECT_EQ(heap.global().backing().bytes_in_use(), 0u);
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

// Slots are freed and taken by another thread between the batches of a pass.
TEST(Compactor, TheHeapIsInUseBetweenBatches) {
  TestHeap heap;
  MakeSparse(heap, kSmall, 500);
  SizeClassHeap& small = heap.heap_of(kSmall);
  std::atomic<bool> is_over = false;
  std::thread user([&] {
    Random random(3);
    SpanId attached = kNoSpan;
    while (!is_over) {
      void* slots[40];
      uint32_t count = small.Refill(99, &attached, random, SlotOrder::kShuffled, slots, 40, 40);
      small.Release(slots, count, [] {});
    }
    small.Detach(99, attached);
  });
  for (int i = 0; i < 20; i++) heap.Compact();
  is_over = true;
  user.join();
  heap.CheckAll();
  heap.FreeAll();
  heap.CheckAll();
  EXPECT_EQ(small.statistics().spans, 0u);
}

}  // namespace
}  // namespace mesh
