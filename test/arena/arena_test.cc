// Tests of the arena: runs, coalescing, purge, large and huge objects, refusals of the kernel.
#include "src/arena/arena.h"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>
#include <map>
#include <memory>
#include <vector>

#include "src/base/random.h"
#include "src/os/probe.h"

namespace mesh {
namespace {

// An Arena is larger than a stack frame should be.
std::unique_ptr<Arena> MakeArena() {
  auto arena = std::make_unique<Arena>();
  arena->set_segment_size(64 * kMiB);
  return arena;
}

char* BytesOf(SpanId id) { return reinterpret_cast<char*>(PageMap::AddressOf(id)); }

TEST(PageMap, KnowsNothingOfForeignMemory) {
  int on_stack = 0;
  EXPECT_TRUE(PageMap::Find(reinterpret_cast<uintptr_t>(&on_stack)).is_empty());
  EXPECT_TRUE(PageMap::Find(0).is_empty());
  EXPECT_TRUE(PageMap::Find(~uintptr_t{0}).is_empty());
}

TEST(Arena, SpanEntriesLeadToTheSpan) {
  auto arena = MakeArena();
  for (SizeClass c = 1; c < kClassCount; c++) {
    SpanId id = arena->AllocateSpan(c, kSizeClasses[c].max_units);
    ASSERT_NE(id, kNoSpan);
    PageCount pages = PageCount{kSizeClasses[c].unit_pages} * kSizeClasses[c].max_units;
    memset(BytesOf(id), 1, size_t{pages} << kPageShift);
    for (PageIndex i = 0; i < pages; i++) {
      uintptr_t address = PageMap::AddressOf(id) + i * kPageSize + 17;
      PageEntry entry = PageMap::Find(address);
      ASSERT_EQ(entry.size_class(), c);
      ASSERT_EQ(PageMap::SpanOf(address, entry), id);
    }
    arena->FreeSpan(id, pages, true);
    EXPECT_TRUE(PageMap::Find(PageMap::AddressOf(id)).is_empty());
  }
  arena->CheckInvariants();
}

// Pages that are there already come before new ones, in shorter runs if need be.
TEST(Arena, ReservesDirtyPagesFirst) {
  auto arena = MakeArena();
  const SizeClass size_class = 1;
  const PageCount unit = kSizeClasses[size_class].unit_pages;
  std::vector<SpanId> spans;
  for (int i = 0; i < 40; i++) spans.push_back(arena->AllocateSpan(size_class, 1));
  auto give_back = [&](int from, int to) {
    for (int i = from; i < to; i++) arena->FreeSpan(spans[i], unit, true);
  };
  give_back(3, 4);
  give_back(10, 15);
  give_back(20, 22);
  const SpanId runs[] = {spans[10], spans[20], spans[3]};
  const PageCount lengths[] = {5 * unit, 2 * unit, unit};
  bool dirty = false;
  for (int i = 0; i < 3; i++) {
    PageCount pages = 16 * unit;
    EXPECT_EQ(arena->ReserveRun(unit, &pages, &dirty), runs[i]);
    EXPECT_EQ(pages, lengths[i]);
    EXPECT_TRUE(dirty);
    arena->CheckInvariants();
  }
  give_back(20, 22);
  PageCount pages = 16 * unit;
  ASSERT_NE(arena->ReserveRun(3 * unit, &pages, &dirty), kNoSpan);
  EXPECT_EQ(pages, 16 * unit);
  EXPECT_FALSE(dirty);
  pages = unit;
  EXPECT_EQ(arena->ReserveRun(unit, &pages, &dirty), spans[20]);
  EXPECT_TRUE(dirty);
  arena->CheckInvariants();
}

TEST(Arena, PurgedPagesReadZero) {
  auto arena = MakeArena();
  SpanId id = arena->AllocateLarge(100, kPageSize, false);
  memset(BytesOf(id), 7, 100 * kPageSize);
  arena->FreeLarge(id);
  EXPECT_EQ(arena->statistics().dirty_bytes, 100 * kPageSize);
  EXPECT_EQ(arena->Purge(0), 100 * kPageSize);
  EXPECT_EQ(arena->statistics().dirty_bytes, 0u);
  arena->CheckInvariants();
  SpanId again = arena->AllocateLarge(100, kPageSize, true);
  for (size_t i = 0; i < 100 * kPageSize; i++) ASSERT_EQ(BytesOf(again)[i], 0);
}

// In pieces, and the last one in the middle of a run.
// A program that frees much and takes it again, between two looks: what it needs stays.
TEST(Arena, WhatIsTakenAgainIsNotReturned) {
  auto arena = MakeArena();
  arena->StopAsking();  // all that was handed out counts
  constexpr size_t kPages = 2048;
  SpanId id = arena->AllocateLarge(kPages, kPageSize, false);
  arena->PurgeUnused(SIZE_MAX);
  for (int burst = 0; burst < 10; burst++) {
    arena->FreeLarge(id);
    EXPECT_EQ(arena->PurgeUnused(SIZE_MAX), 0u);
    id = arena->AllocateLarge(kPages, kPageSize, false);
  }
  arena->FreeLarge(id);
  EXPECT_EQ(arena->PurgeUnused(SIZE_MAX), 0u);
  // A quarter is enough from now on: the rest goes by halves, or somewhat more of a long run.
  id = arena->AllocateLarge(kPages / 4, kPageSize, false);
  const size_t returned = arena->PurgeUnused(SIZE_MAX);
  EXPECT_GE(returned, kPages * 3 / 8 * kPageSize);
  EXPECT_LT(returned, kPages * 3 / 4 * kPageSize);
  EXPECT_GE(arena->PurgeUnused(SIZE_MAX), (kPages * 3 / 4 * kPageSize - returned) / 2);
  arena->FreeLarge(id);
  for (int look = 0; look < 20; look++) arena->PurgeUnused(SIZE_MAX);
  EXPECT_EQ(arena->statistics().dirty_bytes, 0u);
  arena->CheckInvariants();
}

TEST(Arena, PurgeStopsWhereItIsTold) {
  auto arena = MakeArena();
  arena->StopAsking();  // all that was handed out counts
  constexpr size_t kPages = 2500;
  SpanId id = arena->AllocateLarge(kPages, kPageSize, false);
  arena->FreeLarge(id);
  size_t purged = arena->Purge(2 * 700 * kPageSize);
  EXPECT_GE(purged, 1800 * kPageSize);
  EXPECT_LT(purged, kPages * kPageSize);
  EXPECT_EQ(arena->statistics().dirty_bytes, kPages * kPageSize - purged);
  arena->CheckInvariants();
  EXPECT_EQ(arena->Purge(0), kPages * kPageSize - purged);
  arena->CheckInvariants();
}

// Whoever frees the span beyond the limit returns a little, and the others their part.
TEST(Arena, NoFreeOfASpanReturnsMuch) {
  constexpr size_t kSpans = 40'000;
  constexpr size_t kMostAtOnce = 256;
  auto arena = MakeArena();
  const SizeClass size_class = ClassFor(64);
  std::vector<SpanId> spans;
  for (size_t i = 0; i < kSpans; i++) spans.push_back(arena->AllocateSpan(size_class, 1));
  size_t returned = 0;
  for (SpanId id : spans) {
    arena->FreeSpan(id, 1, true);
    const size_t now = arena->statistics().purged_pages_total;
    EXPECT_LE(now - returned, kMostAtOnce);
    returned = now;
  }
  EXPECT_GT(returned, 0u);
  // What may wait: 16 MiB, and a half of what is committed.
  EXPECT_LE(arena->statistics().dirty_bytes, 16 * kMiB + arena->statistics().committed_bytes / 2);
  arena->CheckInvariants();
  // In whole pieces of 4 MiB.
  EXPECT_EQ(arena->Purge(0, kPageSize), 4 * kMiB);
}

TEST(Arena, SomebodyElseReturnsWhatIsTooMuch) {
  constexpr size_t kPages = 60'000;
  for (bool defers : {false, true}) {
    auto arena = MakeArena();
    arena->StopAsking();
    arena->set_defers_return(defers);
    SpanId id = arena->AllocateLarge(kPages, kPageSize, false);
    EXPECT_FALSE(arena->has_excess());
    // A first part that is just too much to keep, and then the rest.
    ASSERT_TRUE(arena->ResizeLarge(id, kPages - 25'000));
    EXPECT_EQ(arena->has_excess(), defers);
    EXPECT_EQ(arena->statistics().dirty_bytes == 25'000 * kPageSize, defers);
    arena->FreeLarge(id);
    // Twice the limit is too much for anybody.
    EXPECT_LT(arena->statistics().dirty_bytes, 20'000 * kPageSize);
    arena->ReturnExcess();
    EXPECT_FALSE(arena->has_excess());
    arena->CheckInvariants();
  }
}

TEST(Arena, SpansAreSoughtInSteps) {
  auto arena = MakeArena();
  constexpr SizeClass kOther = ClassFor(1024);
  constexpr SizeClass kSmall = ClassFor(64);
  std::vector<SpanId> spans;
  for (int i = 0; i < 50; i++) {
    spans.push_back(arena->AllocateSpan(kOther, 1));
    arena->AllocateSpan(kSmall, 2);
  }
  for (PageCount step : {1u, 2u, 7u, 1000u}) {
    std::vector<SpanId> found;
    SpanId cursor = kNoSpan;
    do {
      PageCount pages = step;
      while (arena->SeekSpan(&cursor, kOther, &pages)) found.push_back(cursor);
      EXPECT_LE(pages, step);
    } while (cursor != kNoSpan);
    EXPECT_EQ(found, spans) << step;
  }
}

TEST(Arena, ZeroedEvenWhenDirty) {
  auto arena = MakeArena();
  for (size_t pages : {10u, 200u, 600u}) {
    SpanId id = arena->AllocateLarge(pages, kPageSize, false);
    memset(BytesOf(id), 7, pages * kPageSize);
    arena->FreeLarge(id);
    id = arena->AllocateLarge(pages, kPageSize, true);
    for (size_t i = 0; i < pages * kPageSize; i++) ASSERT_EQ(BytesOf(id)[i], 0);
  }
}

TEST(Arena, AlignsLargeObjects) {
  auto arena = MakeArena();
  for (size_t alignment = kPageSize; alignment <= 16 * kMiB; alignment *= 2) {
    SpanId id = arena->AllocateLarge(3, alignment, false);
    ASSERT_NE(id, kNoSpan);
    EXPECT_EQ(PageMap::AddressOf(id) % alignment, 0u);
  }
  arena->CheckInvariants();
}

// The run is exactly as long as what is asked for: it fits because it lies right.
TEST(Arena, AnAlignedObjectTakesTheRunOfTheLastOne) {
  auto arena = MakeArena();
  for (PageCount pages : {16u, 48u, 2048u}) {
    SpanId first = arena->AllocateLarge(pages, 16 * kPageSize, false);
    SpanId behind = arena->AllocateLarge(1, kPageSize, false);
    arena->FreeLarge(first);
    EXPECT_EQ(arena->AllocateLarge(pages, 16 * kPageSize, false), first) << pages;
    arena->FreeLarge(behind);
    arena->CheckInvariants();
  }
}

// What a program never touched is no memory that waits.
TEST(Arena, PagesThatAreNotThereAreNotDirty) {
  if (!os::MayAskResidency()) GTEST_SKIP() << "the kernel may not be asked";
  constexpr size_t kLong = 4096;
  auto arena = MakeArena();
  SpanId id = arena->AllocateLarge(kLong, kPageSize, false);
  for (size_t page = 0; page < kLong; page += 4) BytesOf(id)[page * kPageSize] = 1;
  arena->FreeLarge(id);
  const size_t dirty = arena->statistics().dirty_bytes;
  EXPECT_GE(dirty, kLong * kPageSize / 8);
  EXPECT_LE(dirty, kLong * kPageSize / 2);
  // A part of the run has a part of the memory, and purging it leaves none.
  SpanId half = arena->AllocateLarge(kLong / 2, kPageSize, false);
  arena->CheckInvariants();
  EXPECT_NEAR(static_cast<double>(arena->statistics().dirty_bytes), dirty / 2.0, kPageSize);
  EXPECT_EQ(arena->Purge(0), kLong / 2 * kPageSize);
  EXPECT_EQ(arena->statistics().dirty_bytes, 0u);
  arena->FreeLarge(half);
  arena->CheckInvariants();
}

// The heap as a whole stays as small as if there were one kind of segment.
TEST(Arena, WhatWaitsInOneKindGoesBackWhenTheOtherGrows) {
  constexpr PageCount kPages = 500;
  auto arena = MakeArena();
  SpanId large = arena->AllocateLarge(kPages, kPageSize, false);
  arena->FreeLarge(large);
  EXPECT_EQ(arena->statistics().dirty_bytes, kPages * kPageSize);
  const size_t committed = arena->statistics().committed_bytes;
  PageCount spans = 0;
  while (arena->statistics().dirty_bytes > 0 && spans < 4 * kPages) {
    arena->AllocateSpan(ClassFor(64), 1);
    spans++;
  }
  EXPECT_EQ(arena->statistics().dirty_bytes, 0u);
  EXPECT_GE(arena->statistics().committed_bytes, committed + kPages * kPageSize);
  // Once: what is committed already costs nobody anything.
  large = arena->AllocateLarge(kPages, kPageSize, false);
  arena->FreeLarge(large);
  arena->AllocateSpan(ClassFor(64), 1);
  EXPECT_EQ(arena->statistics().dirty_bytes, kPages * kPageSize);
  arena->CheckInvariants();
}

TEST(Arena, GrowsAndShrinksInPlace) {
  auto arena = MakeArena();
  SpanId id = arena->AllocateLarge(10, kPageSize, false);
  strcpy(BytesOf(id), "kept");
  for (size_t pages = 11; pages < 4000; pages += 300) ASSERT_TRUE(arena->ResizeLarge(id, pages));
  ASSERT_TRUE(arena->ResizeLarge(id, 2));
  EXPECT_STREQ(BytesOf(id), "kept");
  arena->CheckInvariants();
  SpanId behind = arena->AllocateLarge(1, kPageSize, false);
  EXPECT_EQ(behind, id + 2);
  EXPECT_FALSE(arena->ResizeLarge(id, 3));
}

TEST(Arena, MovesWithoutCopying) {
  auto arena = MakeArena();
  SpanId from = arena->AllocateLarge(50, kPageSize, false);
  memset(BytesOf(from), 9, 50 * kPageSize);
  SpanId to = arena->AllocateLarge(80, kPageSize, false);
  ASSERT_TRUE(arena->MoveLarge(from, to));
  for (size_t i = 0; i < 50 * kPageSize; i++) ASSERT_EQ(BytesOf(to)[i], 9);
  arena->FreeLarge(to);
  arena->CheckInvariants();
}

// What the program has asked of an object's addresses ends with it, though it has moved away.
TEST(Arena, AddressesThatWereMovedFromAreFresh) {
  auto arena = MakeArena();
  const SpanId from = arena->AllocateLarge(50, kPageSize, false);
  ASSERT_EQ(madvise(BytesOf(from), 50 * kPageSize, MADV_DONTFORK), 0);
  const SpanId to = arena->AllocateLarge(80, kPageSize, false);
  ASSERT_TRUE(arena->MoveLarge(from, to));
  const SpanId next = arena->AllocateLarge(50, kPageSize, false);
  ASSERT_EQ(next, from);
  BytesOf(next)[0] = 1;
  const pid_t child = fork();
  if (child == 0) _exit(BytesOf(next)[0] == 1 ? 0 : 1);
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
}

TEST(Arena, HugeObjectsComeAndGo) {
  auto arena = MakeArena();
  size_t pages = (3 * kGiB) >> kPageShift;
  for (int round = 0; round < 3; round++) {
    SpanId id = arena->AllocateLarge(pages, kPageSize, true);
    ASSERT_NE(id, kNoSpan);
    BytesOf(id)[0] = 1;
    BytesOf(id)[3 * kGiB - 1] = 2;
    EXPECT_EQ(PageMap::Find(PageMap::AddressOf(id)).size_class(), kLargeClass);
    ASSERT_FALSE(arena->ResizeLarge(id, pages + kWindowPages));
    arena->FreeLarge(id);
    EXPECT_TRUE(PageMap::Find(PageMap::AddressOf(id)).is_empty());
  }
  EXPECT_EQ(arena->AllocateLarge(size_t{1} << 31, kPageSize, false), kNoSpan);
  EXPECT_EQ(arena->AllocateLarge(size_t{1} << 50, kPageSize, false), kNoSpan);
}

TEST(Arena, RandomOperationsKeepTheInvariants) {
  auto arena = MakeArena();
  Random random(11);
  std::map<SpanId, size_t> large;
  std::vector<std::pair<SpanId, SizeClass>> small;
  for (int step = 0; step < 20000; step++) {
    switch (random.Below(5)) {
      case 0: {
        size_t pages = 1 + random.Below(200);
        SpanId id = arena->AllocateLarge(pages, kPageSize, false);
        ASSERT_NE(id, kNoSpan);
        *reinterpret_cast<SpanId*>(BytesOf(id)) = id;
        large[id] = pages;
        break;
      }
      case 1: {
        SizeClass c = static_cast<SizeClass>(1 + random.Below(kClassCount - 1));
        small.emplace_back(arena->AllocateSpan(c, 1), c);
        ASSERT_NE(small.back().first, kNoSpan);
        break;
      }
      case 2:
        if (!large.empty()) {
          SpanId id = large.begin()->first;
          ASSERT_EQ(*reinterpret_cast<SpanId*>(BytesOf(id)), id);
          arena->FreeLarge(id);
          large.erase(large.begin());
        }
        break;
      case 3:
        if (!small.empty()) {
          uint32_t i = random.Below(static_cast<uint32_t>(small.size()));
          arena->FreeSpan(small[i].first, kSizeClasses[small[i].second].unit_pages, true);
          small[i] = small.back();
          small.pop_back();
        }
        break;
      case 4:
        if (!large.empty()) {
          auto last = std::prev(large.end());
          size_t pages = 1 + random.Below(300);
          if (arena->ResizeLarge(last->first, pages)) last->second = pages;
        }
        break;
    }
    if (step % 1000 == 0) {
      arena->CheckInvariants();
      arena->Purge(random.Below(4) * kMiB);
    }
  }
  arena->CheckInvariants();
}

}  // namespace
}  // namespace mesh
