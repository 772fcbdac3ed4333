// Tests of what the arena does for hardened heaps: pages without access around spans and large
// objects, and the rest of freed ones, whose memory the next ones may have.
#include <gtest/gtest.h>

#include <cerrno>
#include <cstring>
#include <memory>
#include <set>
#include <vector>

#include "src/arena/arena.h"
#include "src/base/random.h"
#include "src/base/units.h"
#include "src/os/memory.h"
#include "test/os/fault_injector.h"

namespace mesh {
namespace {

using os::Call;
using os::FaultInjector;

constexpr SizeClass kClass = 1;  // spans of a page
constexpr PageCount kLong = 16;

volatile char& ByteAt(SpanId id, int64_t offset) {
  return *reinterpret_cast<volatile char*>(PageMap::AddressOf(id) + offset);
}

bool IsShut(SpanId id, int64_t offset) {
  return PageMap::Find(PageMap::AddressOf(id) + offset).size_class() == kReservedClass;
}

// The kernel may mark pages or not: what is inaccessible is the same.
class ArenaGuardsTest : public testing::TestWithParam<bool> {
 protected:
  ArenaGuardsTest() {
    if (!GetParam()) injector_.Refuse(Call::kGuard, EINVAL, 1, FaultInjector::kForever);
    arena_->set_segment_size(16 * kMiB);
    arena_->GuardLarge(7);
    arena_->GuardSpans();
  }
  ~ArenaGuardsTest() override { arena_->CheckInvariants(); }

  SpanId Large(size_t pages, int value) {
    SpanId id = arena_->AllocateLarge(pages, kPageSize, true);
    if (id != kNoSpan) memset(BytesOf(id), value, pages << kPageShift);
    return id;
  }
  static char* BytesOf(SpanId id) { return reinterpret_cast<char*>(PageMap::AddressOf(id)); }
  static bool IsZero(SpanId id, size_t pages) {
    const char* bytes = BytesOf(id);
    return *bytes == 0 && memcmp(bytes, bytes + 1, (pages << kPageShift) - 1) == 0;
  }

  FaultInjector injector_;
  std::unique_ptr<Arena> arena_ = std::make_unique<Arena>();
};

TEST_P(ArenaGuardsTest, SpansLieBetweenPagesWithoutAccess) {
  std::vector<SpanId> spans;
  for (int i = 0; i < 20; i++) {
    spans.push_back(arena_->AllocateSpan(kClass, 1));
    memset(BytesOf(spans.back()), i, kPageSize);
  }
  for (SpanId id : spans) {
    EXPECT_TRUE(IsShut(id, -1));
    EXPECT_TRUE(IsShut(id, kPageSize));
  }
  EXPECT_EQ(spans[19] - spans[0], 2 * 19u);  // neighbours have a guard in common
  EXPECT_DEATH(ByteAt(spans[7], -1) = 1, "");
  EXPECT_DEATH(ByteAt(spans[7], kPageSize) = 1, "");
  for (int i = 0; i < 20; i++) EXPECT_EQ(BytesOf(spans[i])[kPageSize - 1], i);
}

TEST_P(ArenaGuardsTest, AFreeSpanWaitsWithItsGuards) {
  const SpanId first = arena_->AllocateSpan(kClass, 1);
  const SpanId id = arena_->AllocateSpan(kClass, 1);
  const SpanId last = arena_->AllocateSpan(kClass, 1);
  memset(BytesOf(id), 1, kPageSize);
  arena_->FreeSpan(id, 1, true);
  EXPECT_EQ(arena_->statistics().dirty_bytes, kPageSize);
  EXPECT_TRUE(PageMap::Find(PageMap::AddressOf(id)).is_empty());
  const int64_t calls = injector_.count(Call::kGuard) + injector_.count(Call::kProtect);
  EXPECT_EQ(arena_->AllocateSpan(kClass, 1), id);
  EXPECT_EQ(injector_.count(Call::kGuard) + injector_.count(Call::kProtect), calls);
  EXPECT_DEATH(ByteAt(id, -1) = 1, "");
  arena_->FreeSpan(id, 1, true);
  arena_->Purge(0);
  EXPECT_EQ(arena_->statistics().dirty_bytes, 0u);
  EXPECT_EQ(arena_->AllocateSpan(kClass, 1), id);
  EXPECT_EQ(BytesOf(id)[17], 0);
  EXPECT_DEATH(ByteAt(id, kPageSize) = 1, "");
  for (SpanId span : {first, id, last}) arena_->FreeSpan(span, 1, true);
}

// Before another segment is taken: what waits of one length is there for any.
TEST_P(ArenaGuardsTest, AddressesAreUsedForSpansOfAnotherLength) {
  const PageCount pages = (16 * kMiB) >> kPageShift;
  std::vector<SpanId> spans;
  for (PageCount i = 0; i < pages / 2 - 300; i++) {
    spans.push_back(arena_->AllocateSpan(kClass, 1));
    BytesOf(spans.back())[0] = 1;
  }
  const SpanId kept = spans.back();
  spans.pop_back();
  for (SpanId id : spans) arena_->FreeSpan(id, 1, true);
  std::vector<SpanId> longer;
  const SizeClass class_of_long = [] {
    SizeClass c = 1;
    while (kSizeClasses[c].unit_pages * kSizeClasses[c].max_units != kLong) c++;
    return c;
  }();
  while (arena_->statistics().segments == 1 && longer.size() < pages / (kLong + 1)) {
    const SpanId id = arena_->AllocateSpan(class_of_long, kSizeClasses[class_of_long].max_units);
    ASSERT_NE(id, kNoSpan);
    memset(BytesOf(id), 2, kLong << kPageShift);
    longer.push_back(id);
  }
  EXPECT_GT(longer.size(), pages / (kLong + 1) - 20);
  EXPECT_DEATH(ByteAt(longer[100], kLong << kPageShift) = 1, "");
  EXPECT_DEATH(ByteAt(kept, -1) = 1, "");
  EXPECT_EQ(BytesOf(kept)[0], 1);
  for (SpanId id : longer) arena_->FreeSpan(id, kLong, true);
}

TEST_P(ArenaGuardsTest, TheMemoryOfAFreedObjectMoves) {
  const SpanId id = Large(40, 1);
  EXPECT_DEATH(ByteAt(id, -1) = 1, "");
  EXPECT_DEATH(ByteAt(id, 40 << kPageShift) = 1, "");
  arena_->FreeLarge(id);
  EXPECT_DEATH(ByteAt(id, 5) = 1, "");
  EXPECT_EQ(arena_->statistics().dirty_bytes, 40 * kPageSize);
  const SpanId next = arena_->AllocateLarge(30, kPageSize, false);
  ASSERT_NE(next, id);
  EXPECT_EQ(arena_->statistics().dirty_bytes, 10 * kPageSize);
  EXPECT_TRUE(IsZero(next, 30));
  EXPECT_DEATH(ByteAt(id, 5) = 1, "");
  EXPECT_DEATH(ByteAt(next, -1) = 1, "");
  EXPECT_DEATH(ByteAt(next, 30 << kPageShift) = 1, "");
  // Longer than the rest: its first pages are moved, the others fresh.
  const SpanId longer = arena_->AllocateLarge(50, kPageSize, false);
  EXPECT_EQ(arena_->statistics().dirty_bytes, 0u);
  EXPECT_TRUE(IsZero(longer, 50));
  memset(BytesOf(longer), 3, 50 << kPageShift);
  memset(BytesOf(next), 2, 30 << kPageShift);
  EXPECT_EQ(BytesOf(longer)[0], 3);
  arena_->FreeLarge(longer);
  EXPECT_EQ(arena_->statistics().dirty_bytes, 40 * kPageSize);
  arena_->Purge(0);
  EXPECT_EQ(arena_->statistics().dirty_bytes, 0u);
  EXPECT_TRUE(IsZero(Large(50, 0), 50));
}

TEST_P(ArenaGuardsTest, AnObjectGrowsIntoItsGuard) {
  const SpanId id = arena_->AllocateLarge(20, kPageSize, true, 10);
  memset(BytesOf(id), 1, 20 << kPageShift);
  EXPECT_TRUE(arena_->ResizeLarge(id, 28));
  EXPECT_EQ(BytesOf(id)[27 << kPageShift], 0);
  EXPECT_DEATH(ByteAt(id, 28 << kPageShift) = 1, "");
  EXPECT_TRUE(arena_->ResizeLarge(id, 10));
  EXPECT_DEATH(ByteAt(id, 10 << kPageShift) = 1, "");
  EXPECT_EQ(BytesOf(id)[(10 << kPageShift) - 1], 1);
  EXPECT_TRUE(arena_->ResizeLarge(id, 11));
  EXPECT_EQ(BytesOf(id)[10 << kPageShift], 0);
  arena_->FreeLarge(id);
  EXPECT_DEATH(ByteAt(id, 0) = 1, "");
}

// As far as the memory of freed objects goes, that of an object to come is there already.
TEST_P(ArenaGuardsTest, TheGuardOfAnObjectThatGrowsHasMemory) {
  arena_->FreeLarge(Large(60, 1));
  const SpanId id = arena_->AllocateLarge(20, kPageSize, false, 30);
  EXPECT_EQ(arena_->statistics().dirty_bytes, (GetParam() ? 20 : 40) * kPageSize);
  EXPECT_TRUE(IsZero(id, 20));
  EXPECT_DEATH(ByteAt(id, 20 << kPageShift) = 1, "");
  EXPECT_DEATH(ByteAt(id, 45 << kPageShift) = 1, "");
  const int64_t calls = injector_.count(Call::kUnprotect);
  EXPECT_TRUE(arena_->ResizeLarge(id, 35));
  EXPECT_EQ(injector_.count(Call::kUnprotect), calls + 1);
  EXPECT_TRUE(IsZero(id, 35));
  EXPECT_DEATH(ByteAt(id, 35 << kPageShift) = 1, "");
  memset(BytesOf(id), 2, 35 << kPageShift);
  // Across the end of that memory, and back.
  EXPECT_TRUE(arena_->ResizeLarge(id, 45));
  EXPECT_EQ(BytesOf(id)[(35 << kPageShift) - 1], 2);
  EXPECT_EQ(BytesOf(id)[35 << kPageShift], 0);
  memset(BytesOf(id), 3, 45 << kPageShift);
  EXPECT_DEATH(ByteAt(id, 45 << kPageShift) = 1, "");
  EXPECT_TRUE(arena_->ResizeLarge(id, 10));
  EXPECT_EQ(BytesOf(id)[(10 << kPageShift) - 1], 3);
  EXPECT_DEATH(ByteAt(id, 10 << kPageShift) = 1, "");
  EXPECT_DEATH(ByteAt(id, 44 << kPageShift) = 1, "");
  EXPECT_TRUE(arena_->ResizeLarge(id, 50));
  EXPECT_EQ(BytesOf(id)[(10 << kPageShift) - 1], 3);
  for (int page = 10; page < 50; page++) EXPECT_EQ(BytesOf(id)[page << kPageShift], 0);
  arena_->FreeLarge(id);
  EXPECT_DEATH(ByteAt(id, 0) = 1, "");
  EXPECT_DEATH(ByteAt(id, 39 << kPageShift) = 1, "");
}

// The border lies in that memory and behind it: a refusal of either half changes nothing.
TEST_P(ArenaGuardsTest, TheBorderStaysWhereItIs) {
  if (!GetParam()) GTEST_SKIP() << "no guard has memory there";
  arena_->FreeLarge(Large(60, 1));
  const SpanId id = arena_->AllocateLarge(20, kPageSize, false, 30);
  memset(BytesOf(id), 2, 20 << kPageShift);
  for (Call call : {Call::kUnguard, Call::kUnprotect}) {
    injector_.Refuse(call, ENOMEM, 1, 1);
    EXPECT_FALSE(arena_->ResizeLarge(id, 45));
    injector_.Reset();
    EXPECT_EQ(PageMap::Record<LargeObject>(id)->pages, 20u);
    EXPECT_DEATH(ByteAt(id, 20 << kPageShift) = 1, "");
    EXPECT_DEATH(ByteAt(id, 44 << kPageShift) = 1, "");
  }
  ASSERT_TRUE(arena_->ResizeLarge(id, 45));
  memset(BytesOf(id), 2, 45 << kPageShift);
  injector_.Refuse(Call::kProtect, ENOMEM, 1, 1);
  EXPECT_FALSE(arena_->ResizeLarge(id, 10));
  EXPECT_EQ(BytesOf(id)[(45 << kPageShift) - 1], 2);
  injector_.Reset();
  injector_.Refuse(Call::kGuard, ENOMEM, 1, 1);
  injector_.Refuse(Call::kProtect, ENOMEM, 2, 1);
  EXPECT_FALSE(arena_->ResizeLarge(id, 10));
  injector_.Reset();
  EXPECT_EQ(BytesOf(id)[(40 << kPageShift) - 1], 2);
  ByteAt(id, 44 << kPageShift) = 1;
  // From now on nobody marks guards here: those that are marked open all the same.
  ASSERT_TRUE(arena_->ResizeLarge(id, 50));
  memset(BytesOf(id), 3, 50 << kPageShift);
  EXPECT_DEATH(ByteAt(id, 50 << kPageShift) = 1, "");
  arena_->FreeLarge(id);
}

// What is too long for the room it is given has a guard all the same.
TEST_P(ArenaGuardsTest, RoomThatIsNotThereCostsNoGuard) {
  const SpanId id = arena_->AllocateLarge(20, kPageSize, true, Arena::kMaxRunPages - 1);
  EXPECT_TRUE(IsShut(id, -1));
  EXPECT_TRUE(IsShut(id, 20 << kPageShift));
  EXPECT_FALSE(arena_->ResizeLarge(id, 21));
  arena_->FreeLarge(id);
}

TEST_P(ArenaGuardsTest, WhatHasMovedLeavesNothing) {
  const SpanId from = Large(40, 5);
  const SpanId to = arena_->AllocatePlace(60, kPageSize, 60);
  ASSERT_TRUE(arena_->MoveLarge(from, to));
  EXPECT_EQ(BytesOf(to)[(40 << kPageShift) - 1], 5);
  EXPECT_EQ(BytesOf(to)[40 << kPageShift], 0);
  EXPECT_DEATH(ByteAt(from, 0) = 1, "");
  EXPECT_DEATH(ByteAt(to, -1) = 1, "");
  EXPECT_DEATH(ByteAt(to, 60 << kPageShift) = 1, "");
  EXPECT_EQ(arena_->statistics().dirty_bytes, 0u);
  EXPECT_TRUE(arena_->ResizeLarge(to, 100));
  arena_->FreeLarge(to);
  EXPECT_EQ(arena_->statistics().dirty_bytes, 0u);  // in pieces, it may be
}

// The program has cut the freed object by madvise: its memory is left alone, whatever is refused.
TEST_P(ArenaGuardsTest, MemoryInPiecesIsNotTaken) {
  for (int64_t most : {int64_t{0}, int64_t{1}, FaultInjector::kForever}) {
    const SpanId first = Large(300, 1);
    ASSERT_TRUE(os::AdviseDontFork(PageMap::AddressOf(first + 100), 100 << kPageShift).ok());
    arena_->FreeLarge(first);
    injector_.Refuse(Call::kRemap, ENOMEM, 2, most);
    const SpanId second = arena_->AllocateLarge(300, kPageSize, true);
    ASSERT_NE(second, kNoSpan);
    EXPECT_TRUE(IsZero(second, 300));
    memset(BytesOf(second), 2, 300 << kPageShift);
    injector_.Refuse(Call::kRemap, 0, 1, 0);
    arena_->FreeLarge(second);
  }
}

// Opening what was moved is refused, and so is mapping it anew: there is no object.
TEST_P(ArenaGuardsTest, PagesThatCannotBeOpenedAreNobodys) {
  arena_->FreeLarge(Large(300, 1));
  injector_.Refuse(Call::kUnprotect, ENOMEM, 1, FaultInjector::kForever);
  injector_.Refuse(Call::kMapPrivateFixed, ENOMEM, 1, FaultInjector::kForever);
  const size_t before = arena_->statistics().large_count;
  const SpanId id = arena_->AllocateLarge(300, kPageSize, true);
  if (id != kNoSpan) {
    EXPECT_TRUE(IsZero(id, 300));  // It has had other pages.
    arena_->FreeLarge(id);
  }
  EXPECT_EQ(arena_->statistics().large_count, before);
  injector_.Refuse(Call::kUnprotect, 0, 1, 0);
  injector_.Refuse(Call::kMapPrivateFixed, 0, 1, 0);
  const SpanId next = Large(300, 3);
  arena_->FreeLarge(next);
}

// Objects come and go, grow and shrink; each is zeros at first and nobody else's afterwards.
TEST_P(ArenaGuardsTest, NobodySharesMemory) {
  Random random(3);
  struct Object {
    SpanId id;
    PageCount pages;
  };
  std::vector<Object> objects;
  const auto check = [](const Object& object) {
    const char value = static_cast<char>(object.id % 127 + 1);
    for (PageCount i = 0; i < object.pages; i++) {
      ASSERT_EQ(BytesOf(object.id)[i << kPageShift], value);
    }
  };
  for (int round = 0; round < 3000; round++) {
    if (objects.size() < 20 || random.Below(2) == 0) {
      const PageCount pages = 9 + random.Below(60);
      const SpanId id = arena_->AllocateLarge(pages, kPageSize, true, random.Below(40));
      ASSERT_NE(id, kNoSpan);
      for (PageCount i = 0; i < pages; i++) ASSERT_EQ(BytesOf(id)[i << kPageShift], 0);
      objects.push_back({id, pages});
    } else {
      Object& object = objects[random.Below(static_cast<uint32_t>(objects.size()))];
      check(object);
      const PageCount pages = object.pages - 3 + random.Below(20);
      if (arena_->ResizeLarge(object.id, pages)) {
        for (PageCount i = object.pages; i < pages; i++) {
          ASSERT_EQ(BytesOf(object.id)[i << kPageShift], 0);
        }
        object.pages = pages;
      }
      std::swap(object, objects.back());
    }
    Object& last = objects.back();
    for (PageCount i = 0; i < last.pages; i++) {
      BytesOf(last.id)[i << kPageShift] = static_cast<char>(last.id % 127 + 1);
    }
    if (objects.size() < 30) continue;
    const Object gone = objects[random.Below(30)];
    check(gone);
    std::erase_if(objects, [&](const Object& object) { return object.id == gone.id; });
    arena_->FreeLarge(gone.id);
  }
  for (const Object& object : objects) check(object);
}

// Whatever the kernel refuses, objects are zeros, and their contents theirs.
TEST_P(ArenaGuardsTest, RefusalsLoseNothing) {
  for (Call call : {Call::kRemap, Call::kProtect, Call::kUnprotect, Call::kMapPrivateFixed,
                    Call::kDecommit, Call::kRelease, Call::kUnguard}) {
    for (int nth = 1; nth < 8; nth++) {
      std::set<SpanId> there;
      injector_.Refuse(call, ENOMEM, nth, 1);
      for (int i = 0; i < 160; i++) {
        PageCount pages = 9 + i % 5 * 4;
        const SpanId id = arena_->AllocateLarge(pages, kPageSize, true, i % 4 * pages);
        if (id == kNoSpan) continue;
        ASSERT_TRUE(IsZero(id, pages)) << os::CallName(call);
        if (arena_->ResizeLarge(id, pages + i % 9)) pages += i % 9;
        ASSERT_TRUE(IsZero(id, pages)) << os::CallName(call);
        memset(BytesOf(id), 9, pages << kPageShift);
        if (i % 3 == 0 && arena_->ResizeLarge(id, pages - i % 11)) pages -= i % 11;
        ASSERT_EQ(BytesOf(id)[(pages << kPageShift) - 1], 9);
        ASSERT_TRUE(there.insert(id).second);
        if (there.size() < 4) continue;
        arena_->FreeLarge(*there.begin());
        there.erase(there.begin());
      }
      for (SpanId id : there) arena_->FreeLarge(id);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(MarkedOrProtected, ArenaGuardsTest, testing::Bool(),
                         [](const auto& tested) { return tested.param ? "Marked" : "Protected"; });

}  // namespace
}  // namespace mesh
