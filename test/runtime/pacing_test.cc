// Tests of when work on the side goes on. Time is a number here.
#include "src/runtime/pacing.h"

#include <gtest/gtest.h>

namespace mesh {
namespace {

constexpr uint64_t kMs = 1'000'000;
constexpr Pacer::Settings kSettings = {100 * kMs, 1};

// A program and its clock. The pacer's decisions are carried out at once.
class Day {
 public:
  using Act = Pacer::Act;

  // What is decided now. Work has to be followed by Done().
  Pacer::Decision Next() { return last_ = pacer_.Next(kSettings, {now_, activity_, cpu_}); }
  // A slice of `spent` that came to this.
  void Done(uint64_t spent, Pacer::Outcome outcome) {
    now_ += spent;
    pacer_.Done(kSettings, now_, spent, outcome);
  }
  // Time in which the program uses `percent` of a processor.
  void Pass(uint64_t ns, uint64_t percent) {
    now_ += ns;
    cpu_ += ns * percent / 100;
  }
  void Use() { activity_++; }
  // Waits as it is told, beside a program that uses `percent`, until there is something else to do.
  // Returns: how long that was.
  uint64_t WaitUntilWork(uint64_t percent, bool is_used) {
    uint64_t began = now_;
    for (Pacer::Decision next = Next(); next.act != Act::kWork; next = Next()) {
      if (next.act == Act::kSleep) return UINT64_MAX;
      if (is_used) Use();
      Pass(next.ns, percent);
    }
    return now_ - began;
  }

  uint64_t now() const { return now_; }
  // The last decision.
  Pacer::Decision last() const { return last_; }

 private:
  Pacer pacer_;
  Pacer::Decision last_ = {};
  uint64_t now_ = 1000 * kMs;
  uint64_t activity_ = 0;
  uint64_t cpu_ = 0;
};

constexpr uint64_t kMiB = 1 << 20;
constexpr Pacer::Outcome kUnfinished = {true, false, 0, kMiB};
constexpr Pacer::Outcome kGained = {true, true, 0, kMiB};
constexpr Pacer::Outcome kNothing = {false, true, 0};

TEST(Pacer, SleepsWhileNothingUsesTheAllocator) {
  Day day;
  EXPECT_EQ(day.Next().act, Pacer::Act::kSleep);
  day.Pass(1000 * kMs, 100);
  EXPECT_EQ(day.Next().act, Pacer::Act::kSleep);
  day.Use();
  EXPECT_EQ(day.Next().act, Pacer::Act::kWork);
  day.Done(kMs, kNothing);
  EXPECT_EQ(day.Next().act, Pacer::Act::kSleep);
}

// A pass that gains is followed by another, one that does not by sleep.
TEST(Pacer, WorksUntilNothingIsGained) {
  Day day;
  day.Use();
  EXPECT_EQ(day.Next().act, Pacer::Act::kWork);
  day.Done(kMs, kGained);
  EXPECT_NE(day.WaitUntilWork(0, false), UINT64_MAX);
  day.Done(kMs, kNothing);
  EXPECT_EQ(day.WaitUntilWork(0, false), UINT64_MAX);
}

TEST(Pacer, KeepsToItsShareBesideABusyProgram) {
  Day day;
  uint64_t worked = 0;
  day.Use();
  uint64_t began = day.now();
  for (int slice = 0; slice < 50; slice++) {
    ASSERT_NE(day.WaitUntilWork(150, true), UINT64_MAX);
    EXPECT_EQ(day.last().ns, Pacer::kBusySliceNs);
    // Slices take longer than they were meant to: a batch that has begun is finished.
    day.Done(3 * kMs / 2, kUnfinished);
    worked += 3 * kMs / 2;
  }
  EXPECT_LE(worked * 100, (day.now() - began) * 103 / 100);
  EXPECT_GE(worked * 100, (day.now() - began) * 90 / 100);
}

TEST(Pacer, GoesOnWithoutRestWhileTheProgramIsIdle) {
  Day day;
  day.Use();
  day.Next();
  day.Done(kMs, kUnfinished);
  day.WaitUntilWork(1, false);
  for (int slice = 0; slice < 10; slice++) {
    EXPECT_EQ(day.last().ns, Pacer::kIdleSliceNs);
    day.Done(Pacer::kIdleSliceNs, kUnfinished);
    EXPECT_EQ(day.WaitUntilWork(1, false), 0u);
  }
  // It wakes up: within a window there is a rest again.
  day.Done(Pacer::kIdleSliceNs, kUnfinished);
  day.Pass(Pacer::kWindowNs, 100);
  EXPECT_EQ(day.Next().ns, Pacer::kBusySliceNs);
  day.Done(kMs, kUnfinished);
  EXPECT_GE(day.WaitUntilWork(100, true), 99 * kMs);
}

// Two clocks are subtracted, and the difference may go back a little.
TEST(Pacer, AClockThatGoesBackIsIdleToo) {
  Pacer pacer;
  pacer.Next(kSettings, {1000 * kMs, 1, 5 * kMs});
  pacer.Done(kSettings, 1000 * kMs, kMs, kUnfinished);
  EXPECT_EQ(pacer.Next(kSettings, {1100 * kMs, 1, 5 * kMs - 700}).ns, Pacer::kIdleSliceNs);
}

TEST(Pacer, BacksOffWhereNothingIsToBeWon) {
  Day day;
  uint64_t last = 0;
  for (int pass = 0; pass < 10; pass++) {
    day.Use();
    uint64_t waited = day.WaitUntilWork(100, true);
    ASSERT_NE(waited, UINT64_MAX);
    EXPECT_GE(waited, last);
    EXPECT_LE(waited, Pacer::kMostDelayNs + Pacer::kGlanceNs);
    last = waited;
    day.Done(kMs / 10, kNothing);
  }
  EXPECT_GE(last, Pacer::kMostDelayNs);
  // A pass that gains ends that.
  day.Use();
  day.WaitUntilWork(100, true);
  day.Done(kMs / 10, kGained);
  EXPECT_LE(day.WaitUntilWork(100, true), 2 * kSettings.period_ns);
}

// Beside a busy program: a pass of several slices that gain `bytes` in all. Returns: the share of
// the time that was worked, in ten-thousandths.
uint64_t ShareOfPass(Day& day, uint64_t bytes) {
  constexpr uint64_t kSlices = 50;
  day.Use();
  EXPECT_NE(day.WaitUntilWork(100, true), UINT64_MAX);
  const uint64_t began = day.now();
  for (uint64_t slice = 0; slice < kSlices; slice++) {
    const bool is_last = slice + 1 == kSlices;
    day.Done(kMs, {bytes > 0, is_last, 0, bytes / kSlices});
    EXPECT_NE(day.WaitUntilWork(100, true), UINT64_MAX);
  }
  const uint64_t share = kSlices * kMs * 10'000 / (day.now() - began);
  day.Done(kMs / 100, kNothing);
  return share;
}

// A program without fragmentation: passes take long, and find a page here and there.
TEST(Pacer, WhatGainsLittleForItsTimeGetsASmallerShare) {
  Day day;
  constexpr uint64_t kLittle = 50 * 4096;
  EXPECT_LE(ShareOfPass(day, kLittle), 103u);
  for (int pass = 0; pass < 10; pass++) ShareOfPass(day, kLittle);
  EXPECT_LE(ShareOfPass(day, kLittle), 14u);
  // It begins to fragment: with the first slice that gains, the share is as before.
  EXPECT_GE(ShareOfPass(day, 50 * kMiB), 90u);
}

// A heap that has been dense for long is looked at no later when it is not any more.
TEST(Pacer, PassesThatTakeNoTimeCostNoShare) {
  Day day;
  for (int pass = 0; pass < 10; pass++) {
    day.Use();
    day.WaitUntilWork(100, true);
    day.Done(kMs / 10, kNothing);
  }
  day.Use();
  day.WaitUntilWork(100, true);
  day.Done(kMs, {false, false, 0});
  EXPECT_LE(day.WaitUntilWork(100, true), 99 * kMs);
}

// What a pass left alone beside a busy program is not forgotten when that goes quiet.
TEST(Pacer, WhatIsLeftIsTakenWhenTheProgramIsQuiet) {
  Day day;
  day.Use();
  day.WaitUntilWork(100, true);
  day.Done(kMs, {true, false, 0, kMiB, true});
  day.WaitUntilWork(100, true);
  day.Done(kMs, kNothing);
  EXPECT_LE(day.WaitUntilWork(0, false), Pacer::kQuietNs + 2 * Pacer::kGlanceNs);
  EXPECT_TRUE(day.last().is_quiet);
  day.Done(kMs, kNothing);
  EXPECT_EQ(day.WaitUntilWork(0, false), UINT64_MAX);
}

// However far it has backed off: what a program leaves behind is seen soon after it went quiet.
TEST(Pacer, ComesSoonWhenTheProgramGoesQuiet) {
  Day day;
  for (int pass = 0; pass < 10; pass++) {
    day.Use();
    day.WaitUntilWork(100, true);
    day.Done(kMs / 10, kNothing);
  }
  day.Use();
  EXPECT_LE(day.WaitUntilWork(0, false), Pacer::kQuietNs + 2 * Pacer::kGlanceNs);
}

TEST(Pacer, ASliceThatFoundAnotherAtWorkIsNotTriedAgainAtOnce) {
  Day day;
  day.Use();
  day.Next();
  day.Done(kMs, kUnfinished);
  day.WaitUntilWork(0, false);
  EXPECT_EQ(day.last().ns, Pacer::kIdleSliceNs);
  day.Done(1000, {false, false, 0});
  EXPECT_GE(day.WaitUntilWork(0, false), kSettings.period_ns);
}

TEST(Pacer, ComesAgainWhenSomethingIsDue) {
  Day day;
  day.Use();
  day.Next();
  uint64_t due = day.now() + 5000 * kMs;
  day.Done(kMs, {false, true, due});
  EXPECT_NE(day.WaitUntilWork(0, false), UINT64_MAX);
  EXPECT_GE(day.now(), due);
  day.Done(kMs, kNothing);
  EXPECT_EQ(day.WaitUntilWork(0, false), UINT64_MAX);
}

// What is due later holds up no pass that news call for, however busy the program is.
TEST(Pacer, NewsDoNotWaitForWhatIsDue) {
  Day day;
  day.Use();
  day.Next();
  day.Done(kMs, {false, true, day.now() + 80'000 * kMs});
  day.Use();
  EXPECT_LE(day.WaitUntilWork(100, true), 4 * kSettings.period_ns);
}

TEST(Pacer, WithoutAPeriodThereIsNoWork) {
  Pacer pacer;
  EXPECT_EQ(pacer.Next({0, 1}, {1000 * kMs, 1, 0}).act, Pacer::Act::kWait);
  EXPECT_EQ(pacer.Next({0, 1}, {9000 * kMs, 1, 0}).act, Pacer::Act::kWait);
  // It was not forgotten that there is something to do.
  EXPECT_EQ(pacer.Next(kSettings, {9001 * kMs, 1, 0}).act, Pacer::Act::kWork);
}

TEST(DelayAfterSlice, IsNoneWhileThereIsGain) {
  EXPECT_EQ(DelayAfterSlice(3200, 400, false, true), 0u);
  EXPECT_EQ(DelayAfterSlice(0, 400, true, true), 0u);
}

TEST(DelayAfterSlice, GrowsWhileWholePassesGainNothing) {
  constexpr uint64_t kPeriodNs = 400'000'000;
  uint64_t delay = 0;
  for (uint64_t expected : {1, 2, 4, 8, 8}) {
    delay = DelayAfterSlice(delay, kPeriodNs, true, false);
    EXPECT_EQ(delay, expected * kPeriodNs);
  }
  EXPECT_EQ(DelayAfterSlice(delay, kPeriodNs, false, false), kPeriodNs) << "in the middle of one";
  EXPECT_EQ(DelayAfterSlice(0, 2 * Pacer::kMostDelayNs, true, false), 2 * Pacer::kMostDelayNs);
}

TEST(RestAfter, MakesTheShare) {
  EXPECT_EQ(RestAfter(kMs, 1), 99 * kMs);
  EXPECT_EQ(RestAfter(kMs, 50), kMs);
  EXPECT_EQ(RestAfter(kMs, 100), 0u);
}

}  // namespace
}  // namespace mesh
