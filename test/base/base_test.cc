// Tests of the base room: bitmap, list, random, writer, mutex.
#include <gtest/gtest.h>
#include <pthread.h>

#include <atomic>
#include <thread>
#include <utility>
#include <vector>

#include "src/base/bitmap.h"
#include "src/base/check.h"
#include "src/base/intrusive_list.h"
#include "src/base/mutex.h"
#include "src/base/random.h"
#include "src/base/units.h"
#include "src/base/wait_meter.h"
#include "src/base/writer.h"

namespace mesh {
namespace {

TEST(Units, RoundsToPages) {
  EXPECT_EQ(PagesFor(0), 0u);
  EXPECT_EQ(PagesFor(1), 1u);
  EXPECT_EQ(PagesFor(kPageSize), 1u);
  EXPECT_EQ(PagesFor(kPageSize + 1), 2u);
  EXPECT_EQ(RoundUp(17, 16), 32u);
}

TEST(Bitmap, SetClearCount) {
  Bitmap b;
  EXPECT_TRUE(b.IsEmpty());
  for (SlotIndex i : {0u, 63u, 64u, 255u}) b.Set(i);
  EXPECT_EQ(b.Count(), 4u);
  b.Clear(63);
  EXPECT_FALSE(b.IsSet(63));
  std::vector<SlotIndex> seen;
  b.ForEachSet([&](SlotIndex i) { seen.push_back(i); });
  EXPECT_EQ(seen, (std::vector<SlotIndex>{0, 64, 255}));
}

TEST(Bitmap, ForEachRunFromGoesRound) {
  Bitmap b;
  for (SlotIndex i : {0u, 7u, 63u, 64u, 100u, 255u}) b.Set(i);
  auto from = [&](SlotIndex start, uint32_t most) {
    std::vector<SlotIndex> seen;
    Bitmap visited = b.ForEachRunFrom(start, most, [&](SlotIndex first, uint32_t length) {
      for (uint32_t i = 0; i < length; i++) seen.push_back(first + i);
    });
    EXPECT_EQ(visited.Count(), seen.size());
    for (SlotIndex i : seen) EXPECT_TRUE(visited.IsSet(i));
    return seen;
  };
  EXPECT_EQ(from(0, 9), (std::vector<SlotIndex>{0, 7, 63, 64, 100, 255}));
  EXPECT_EQ(from(64, 9), (std::vector<SlotIndex>{64, 100, 255, 0, 7, 63}));
  EXPECT_EQ(from(65, 9), (std::vector<SlotIndex>{100, 255, 0, 7, 63, 64}));
  EXPECT_EQ(from(255, 9), (std::vector<SlotIndex>{255, 0, 7, 63, 64, 100}));
  EXPECT_EQ(from(8, 5), (std::vector<SlotIndex>{63, 64, 100, 255, 0}));
  EXPECT_EQ(from(8, 1), (std::vector<SlotIndex>{63}));
  EXPECT_EQ(from(8, 0), std::vector<SlotIndex>{});
}

TEST(Bitmap, ForEachRunFromGivesWholeRuns) {
  using Runs = std::vector<std::pair<SlotIndex, uint32_t>>;
  auto runs = [](const Bitmap& b, SlotIndex start, uint32_t most) {
    Runs seen;
    b.ForEachRunFrom(start, most,
                     [&](SlotIndex first, uint32_t length) { seen.emplace_back(first, length); });
    return seen;
  };
  const Bitmap all = Bitmap::FirstBits(256);
  EXPECT_EQ(runs(all, 0, 256), (Runs{{0, 64}, {64, 64}, {128, 64}, {192, 64}}));
  EXPECT_EQ(runs(all, 100, 300), (Runs{{100, 28}, {128, 64}, {192, 64}, {0, 64}, {64, 36}}));
  EXPECT_EQ(runs(all, 100, 29), (Runs{{100, 28}, {128, 1}}));
  Bitmap some = Bitmap::FirstBits(10);
  some.Clear(4);
  EXPECT_EQ(runs(some, 2, 99), (Runs{{2, 2}, {5, 5}, {0, 2}}));
  EXPECT_EQ(runs(some, 2, 3), (Runs{{2, 2}, {5, 1}}));
}

TEST(Bitmap, FirstBitsAndWithout) {
  for (SlotIndex n : {0u, 1u, 64u, 65u, 128u, 255u, 256u}) {
    EXPECT_EQ(Bitmap::FirstBits(n).Count(), n);
  }
  Bitmap taken;
  taken.Set(1);
  EXPECT_EQ(Bitmap::FirstBits(3).Without(taken).Count(), 2u);
}

TEST(Bitmap, ShiftedUpMovesEveryBit) {
  Bitmap b;
  for (SlotIndex i : {0u, 1u, 63u, 70u, 127u}) b.Set(i);
  for (SlotIndex by : {0u, 1u, 42u, 63u, 64u, 65u, 128u, 200u}) {
    Bitmap expected;
    b.ForEachSet([&](SlotIndex i) {
      if (i + by < Bitmap::kBits) expected.Set(static_cast<SlotIndex>(i + by));
    });
    EXPECT_EQ(b.ShiftedUp(by), expected) << by;
  }
}

TEST(Bitmap, OverlapsOnlyWhereBothAreSet) {
  Bitmap a, b;
  a.Set(200);
  b.Set(201);
  EXPECT_FALSE(a.Overlaps(b));
  b.Set(200);
  EXPECT_TRUE(a.Overlaps(b));
}

struct Element {
  Element* next_ = nullptr;
  Element* previous_ = nullptr;
};

TEST(IntrusiveList, KeepsOrderAndLinks) {
  Element e[3];
  IntrusiveList<Element> list;
  list.PushBack(&e[1]);
  list.PushBack(&e[2]);
  list.PushFront(&e[0]);
  list.Remove(&e[1]);
  EXPECT_EQ(list.size(), 2u);
  EXPECT_EQ(list.PopFront(), &e[0]);
  EXPECT_EQ(list.PopFront(), &e[2]);
  EXPECT_EQ(list.PopFront(), nullptr);
}

TEST(Random, BelowIsBoundedAndCoversAll) {
  Random random(7);
  std::vector<int> seen(10);
  for (int i = 0; i < 10000; i++) seen[random.Below(10)]++;
  for (int n : seen) EXPECT_GT(n, 800);
}

TEST(LineWriter, Formats) {
  LineWriter line;
  line.Text("a").PadTo(4).Decimal(42).Text(" ").Signed(-7).Text(" ").Hex(255).Text(" ");
  line.Fixed(1536, 1024, 1).Text(" ").Fixed(1999, 1000, 2);
  EXPECT_EQ(line.view(), "a   42 -7 0xff 1.5 2.00");
}

TEST(LineWriter, CutsOffWhatDoesNotFit) {
  LineWriter line;
  for (int i = 0; i < 100; i++) line.Text("0123456789");
  EXPECT_TRUE(line.truncated());
  EXPECT_EQ(line.view().size(), LineWriter::kCapacity);
}

struct Counter {
  Mutex mutex{LockRank::kLeaf};
  long value = 0;
};

void* AddMany(void* arg) {
  auto* counter = static_cast<Counter*>(arg);
  for (int i = 0; i < 100000; i++) {
    MutexLock lock(counter->mutex);
    counter->value++;
  }
  return nullptr;
}

TEST(Mutex, ExcludesOthers) {
  Counter counter;
  pthread_t threads[4];
  for (pthread_t& t : threads) ASSERT_EQ(pthread_create(&t, nullptr, AddMany, &counter), 0);
  for (pthread_t t : threads) pthread_join(t, nullptr);
  EXPECT_EQ(counter.value, 400000);
}

TEST(Mutex, TryLockRefusesWhenHeld) {
  Mutex mutex(LockRank::kLeaf);
  ASSERT_TRUE(mutex.TryLock());
  EXPECT_FALSE(mutex.TryLock());
  mutex.Unlock();
}

// The clock of a meter: one microsecond, and three at the second look.
uint64_t FakeNs() {
  static std::atomic<uint64_t> looks{0};
  return looks++ % 2 == 0 ? 1000 : 4000;
}

TEST(Mutex, CountsWaitsForWhoeverAsks) {
  Mutex mutex(LockRank::kLeaf);
  WaitMeter meter(FakeNs);
  for (bool is_metered : {true, false}) {
    mutex.Lock();
    mutex.set_meter(is_metered ? &meter : nullptr);
    std::atomic<bool> is_through = false;
    std::thread waiter([&] {
      MutexLock lock(mutex);
      is_through = true;
    });
    while (is_metered && meter.waiting() == 0) std::this_thread::yield();
    EXPECT_FALSE(is_through);
    mutex.set_meter(nullptr);
    mutex.Unlock();
    waiter.join();
    EXPECT_TRUE(is_through);
  }
  EXPECT_EQ(meter.waiting(), 0u);
  EXPECT_EQ(meter.longest_ns(), 3000u);
  EXPECT_EQ(meter.count(2), 1u);
  for (size_t i = 0; i < WaitMeter::kBuckets; i++) EXPECT_EQ(meter.count(i), i == 2 ? 1u : 0u);
}

TEST(Mutex, SendsAwayFromWhoHoldsItForLong) {
  Mutex mutex(LockRank::kLeaf);
  WaitMeter meter(FakeNs);
  ASSERT_TRUE(mutex.LockUnlessLong());
  mutex.set_meter(&meter);
  bool taken = true;
  std::thread([&] { taken = mutex.LockUnlessLong(); }).join();
  EXPECT_FALSE(taken);
  EXPECT_EQ(meter.count(0), 1u);
  mutex.set_meter(nullptr);
  std::thread waiter([&] {
    taken = mutex.LockUnlessLong();
    if (taken) mutex.Unlock();
  });
  mutex.Unlock();
  waiter.join();
  EXPECT_TRUE(taken);
}

// Threads that sleep are woken, though others that were woken before them have gone away.
TEST(Mutex, WhoIsSentAwayLeavesNobodyAsleep) {
  constexpr int kRounds = 5'000;
  Mutex mutex(LockRank::kLeaf);
  WaitMeter meter(FakeNs);
  std::atomic<bool> is_over = false;
  uint64_t sum = 0;
  std::atomic<uint64_t> expected = 0;
  std::vector<std::thread> threads;
  for (bool waits : {true, true, false, false}) {
    threads.emplace_back([&, waits] {
      while (!is_over) {
        if (waits) mutex.Lock();
        if (!waits && !mutex.LockUnlessLong()) continue;
        sum++;
        mutex.Unlock();
        expected++;
      }
    });
  }
  for (int i = 0; i < kRounds; i++) {
    MutexLock lock(mutex);
    mutex.set_meter(&meter);
    if (i % 16 == 0) std::this_thread::yield();
    mutex.set_meter(nullptr);
  }
  is_over = true;
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(sum, expected);
}

#if MESH_DEBUG
TEST(MutexDeathTest, RefusesAFallingRank) {
  Mutex low(LockRank::kArena), high(LockRank::kLeaf);
  EXPECT_DEATH(
      {
        high.Lock();
        low.Lock();
      },
      "lock order");
}
#endif

TEST(CheckDeathTest, OneLine) { EXPECT_DEATH(Fatal("this went wrong"), "mesh: this went wrong"); }

}  // namespace
}  // namespace mesh
