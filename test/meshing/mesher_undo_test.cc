// Tests that a refused system call leaves a mesh undone and the heap whole: each kind of call is
// refused at its first, second ... time, once and for good, while spans are meshed, freed and
// meshed again.
#include <gtest/gtest.h>

#include <cerrno>
#include <string>

#include "src/os/fault_injection.h"
#include "test/global/test_heap.h"
#include "test/os/fault_injector.h"

namespace mesh {
namespace {

using os::Call;
using os::FaultInjector;

constexpr size_t kSpans = 6;
constexpr size_t kSizes[] = {16, 448};

// Where a kind of call happens at all.
enum class Where { kEverywhere, kUserfault, kSegv, kPrivateViews, kSharedViews, kWithoutFile };

struct Refusal {
  Call call;
  int error;
  Where where = Where::kEverywhere;
};

// Every kind of call that the heap, the mesher or the barrier makes, and the error that it is most
// likely to bring.
constexpr Refusal kRefusals[] = {
    {Call::kReserve, ENOMEM},
    {Call::kCommit, ENOMEM},
    {Call::kMapAnonymous, ENOMEM},
    {Call::kMapPrivateFixed, ENOMEM},
    {Call::kMapSharedAnonymous, ENOMEM, Where::kWithoutFile},
    {Call::kMapFileShared, ENOMEM},
    {Call::kMapFilePrivate, ENOMEM, Where::kPrivateViews},
    {Call::kUnmap, ENOMEM},
    {Call::kRelease, EINVAL},
    {Call::kPunchHole, ENOSYS},
    {Call::kPopulate, ENOMEM},
    {Call::kPopulate, EINVAL},
    {Call::kAdvise, EINVAL},
    {Call::kAlias, ENOMEM, Where::kSharedViews},
    {Call::kProtect, ENOMEM, Where::kSegv},
    {Call::kMemoryFile, EPERM},
    {Call::kTruncate, ENOSPC},
    {Call::kStat, EBADF},
    {Call::kDescriptor, EMFILE},
    {Call::kOpen, EMFILE},
    {Call::kRead, EIO},
    {Call::kMembarrier, EPERM, Where::kSegv},
    {Call::kSignalMask, EINVAL},
    {Call::kSignalAction, EINVAL, Where::kSegv},
    {Call::kUserfaultfdOpen, EPERM, Where::kUserfault},
    {Call::kUserfaultfdHandshake, EINVAL, Where::kUserfault},
    {Call::kUserfaultfdRegister, EBUSY, Where::kUserfault},
    {Call::kUserfaultfdWriteProtect, ENOENT, Where::kUserfault},
    {Call::kUserfaultfdWake, EINVAL, Where::kUserfault},
};

struct Setting {
  BarrierTier tier;
  bool private_views;
};

struct Case {
  Refusal refusal;
  Setting setting;
  int64_t times;
};

void ThinToOneIn(TestHeap& heap, std::vector<SpanObjects>& spans, size_t period) {
  for (size_t i = 0; i < spans.size(); i++) {
    heap.Thin(spans[i], [&](size_t slot) { return slot % period == i % period; });
  }
}

// What a fork leaves behind, and what happens to it: groups whose pages must not be written any
// more, with stores since then, that move to new pages.
void RetireAndFold(TestHeap& heap) {
  heap.global().backing().Retire();
  for (int round = 0; round < 2; round++) {
    heap.RewriteAll();
    static_cast<void>(heap.global().compactor().Fold(PassLimits(), true));
    heap.CheckAll();
  }
}

// One life of a heap. Everything may be refused in between; nothing may be wrong.
void Live(TestHeap& heap, bool private_views, bool must_hold) {
  for (size_t size : kSizes) {
    SizeClass size_class = ClassFor(size);
    std::vector<SpanObjects> spans = heap.MakeFull(size_class, kSpans);
    if (must_hold) {
      ASSERT_EQ(spans.size(), kSpans);
    }
    ThinToOneIn(heap, spans, kSpans);
    static_cast<void>(heap.MeshInGroupsOf(2, size_class));
    heap.CheckAll();
    static_cast<void>(heap.MeshIntoOne(size_class));
    heap.CheckAll();
    if (!private_views) heap.MakeAnew(2, size_class);
    heap.CheckAll();
    heap.RewriteAll();
    if (private_views) RetireAndFold(heap);
    // A member, then a leader's objects go; what is left is meshed with fresh spans.
    for (size_t i = 0; i < spans.size(); i += 2) heap.Thin(spans[i], [](size_t) { return false; });
    heap.CheckAll();
    while (heap.object_count() % 7 != 0) heap.Allocate(size_class);
    static_cast<void>(heap.Compact());
    heap.CheckAll();
  }
  heap.FreeAll();
  heap.CheckAll();
  static_cast<void>(heap.global().Scavenge());
  heap.CheckAll();
}

class UndoTest : public testing::TestWithParam<Case> {};

TEST_P(UndoTest, NothingIsLostWhereverTheKernelRefuses) {
  const Case& test = GetParam();
  bool private_views = test.setting.private_views;
  // Until a whole life makes fewer calls of that kind than the one that would be refused.
  constexpr int64_t kMost = 40;
  for (int64_t nth = 1; nth <= kMost; nth += 1 + nth / 8) {
    SCOPED_TRACE("call " + std::to_string(nth));
    TestHeap heap(test.setting.tier, private_views);
    FaultInjector injector;
    if (test.refusal.where == Where::kWithoutFile) {
      injector.Refuse(Call::kMemoryFile, EPERM, 1, FaultInjector::kForever);
    }
    injector.Refuse(test.refusal.call, test.refusal.error, nth, test.times);
    Live(heap, private_views, false);
    bool was_refused = injector.count(test.refusal.call) >= nth;
    EXPECT_TRUE(was_refused || nth > 1) << "no such call was made";
    if (HasFatalFailure()) return;
    injector.Reset();
    // The kernel has recovered: so does the heap.
    Live(heap, private_views, true);
    EXPECT_EQ(heap.heap_of(ClassFor(kSizes[0])).statistics().spans, 0u);
    EXPECT_EQ(heap.global().backing().bytes_in_use(), 0u);
    if (HasFailure() || !was_refused) return;
  }
}

// A machine may not have userfaultfd for us; then that tier is left out.
bool HasUserfaultfd() {
  WriteBarrier barrier;
  barrier.Init(BarrierTier::kUserfault);
  return barrier.Prepare() == BarrierTier::kUserfault;
}

std::vector<Case> AllCases() {
  bool has_userfaultfd = HasUserfaultfd();
  BarrierTier best = has_userfaultfd ? BarrierTier::kUserfault : BarrierTier::kSingleThread;
  std::vector<Case> cases;
  for (const Refusal& refusal : kRefusals) {
    for (Setting setting : {Setting{BarrierTier::kSingleThread, false}, Setting{best, true},
                            Setting{BarrierTier::kSegv, false}}) {
      bool fits = refusal.where == Where::kEverywhere || refusal.where == Where::kWithoutFile ||
                  (refusal.where == Where::kPrivateViews && setting.private_views) ||
                  (refusal.where == Where::kSharedViews && !setting.private_views) ||
                  (refusal.where == Where::kSegv && setting.tier == BarrierTier::kSegv) ||
                  (refusal.where == Where::kUserfault && setting.tier == BarrierTier::kUserfault);
      if (!fits) continue;
      for (int64_t times : {int64_t{1}, FaultInjector::kForever}) {
        cases.push_back({refusal, setting, times});
      }
    }
  }
  return cases;
}

std::string NameOf(const testing::TestParamInfo<Case>& info) {
  std::string name = std::string(os::CallName(info.param.refusal.call)) + "_" +
                     std::to_string(info.param.refusal.error) + "_" +
                     BarrierTierName(info.param.setting.tier) +
                     (info.param.setting.private_views ? "_private" : "_shared") +
                     (info.param.times == 1 ? "_once" : "_for_good");
  for (char& c : name) {
    if (c == ' ') c = '_';
  }
  return name;
}

INSTANTIATE_TEST_SUITE_P(Refusals, UndoTest, testing::ValuesIn(AllCases()), NameOf);

}  // namespace
}  // namespace mesh
