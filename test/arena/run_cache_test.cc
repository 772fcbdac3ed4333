// Tests of the cache of runs: what it keeps, for whom, and what becomes of it.
#include "src/arena/run_cache.h"

#include <gtest/gtest.h>

#include <array>
#include <cstring>
#include <memory>
#include <thread>
#include <utility>
#include <vector>

#include "src/arena/arena.h"
#include "src/base/random.h"

namespace mesh {
namespace {

constexpr PageCount kMedium = 16;

// An Arena is larger than a stack frame should be.
std::unique_ptr<Arena> MakeArena() {
  auto arena = std::make_unique<Arena>();
  arena->set_segment_size(64 * kMiB);
  return arena;
}

char* BytesOf(SpanId id) { return reinterpret_cast<char*>(PageMap::AddressOf(id)); }
PageEntry EntryOf(SpanId id) { return PageMap::Find(PageMap::AddressOf(id)); }

TEST(RunCache, TheNextObjectHasTheRunOfTheLast) {
  auto arena = MakeArena();
  SpanId id = arena->AllocateLarge(kMedium, kPageSize, false);
  SpanId wall = arena->AllocateLarge(kMedium, kPageSize, false);
  arena->FreeLarge(id);
  EXPECT_EQ(EntryOf(id).size_class(), kReservedClass);  // [RC1]
  EXPECT_EQ(arena->statistics().dirty_bytes, size_t{kMedium} << kPageShift);
  EXPECT_EQ(arena->statistics().large_count, 1u);
  EXPECT_EQ(arena->statistics().large_bytes, size_t{kMedium} << kPageShift);
  EXPECT_EQ(arena->AllocateLarge(kMedium, kPageSize, false), id);
  EXPECT_EQ(EntryOf(id).size_class(), kLargeClass);
  EXPECT_EQ(arena->statistics().dirty_bytes, 0u);
  EXPECT_EQ(arena->statistics().large_count, 2u);
  arena->FreeLarge(wall);
  arena->FreeLarge(id);
}

TEST(RunCache, AnObjectMayBeAnEighthShorterThanItsRun) {
  auto arena = MakeArena();
  SpanId id = arena->AllocateLarge(18, kPageSize, false);
  arena->FreeLarge(id);
  EXPECT_EQ(arena->AllocateLarge(16, kPageSize, false), id);
  EXPECT_EQ(PageMap::Record<LargeObject>(id)->pages, 18u);
  arena->FreeLarge(id);
  RunCache cache;
  RunCache::Leaving leaving;
  cache.Give({id, 18}, &leaving);
  EXPECT_EQ(cache.Take(15).id, kNoSpan);
  EXPECT_EQ(cache.Take(19).id, kNoSpan);
  EXPECT_EQ(cache.Take(18).id, id);
}

TEST(RunCache, ZeroesAreWrittenAndAlignmentIsKept) {
  auto arena = MakeArena();
  SpanId id = arena->AllocateLarge(kMedium, kPageSize, false);
  memset(BytesOf(id), 7, size_t{kMedium} << kPageShift);
  arena->FreeLarge(id);
  ASSERT_EQ(arena->AllocateLarge(kMedium, kPageSize, true), id);
  for (size_t i = 0; i < size_t{kMedium} << kPageShift; i++) ASSERT_EQ(BytesOf(id)[i], 0);
  arena->FreeLarge(id);
  SpanId aligned = arena->AllocateLarge(kMedium, 64 * kPageSize, false);
  EXPECT_EQ(PageMap::AddressOf(aligned) % (64 * kPageSize), 0u);
  arena->FreeLarge(aligned);
}

// What has to make room goes to the arena, the oldest first, and comes from there again.
TEST(RunCache, KeepsLittle) {
  auto arena = MakeArena();
  std::vector<SpanId> ids;
  for (uint32_t i = 0; i < RunCache::kRuns + 4; i++) {
    ids.push_back(arena->AllocateLarge(100, kPageSize, false));
  }
  size_t cached = 0;
  for (SpanId id : ids) arena->FreeLarge(id);
  for (SpanId id : ids) cached += EntryOf(id).size_class() == kReservedClass;
  EXPECT_GT(cached, 0u);
  EXPECT_LE(cached, 5u);
  EXPECT_EQ(EntryOf(ids.back()).size_class(), kReservedClass);
  EXPECT_EQ(arena->statistics().dirty_bytes, ids.size() * 100 << kPageShift);
  arena->CheckInvariants();
}

// Everything goes back when memory is to be returned, and before memory is taken that is not there.
TEST(RunCache, NothingIsHeldBack) {
  auto arena = MakeArena();
  SpanId first = arena->AllocateLarge(kMedium, kPageSize, false);
  SpanId second = arena->AllocateLarge(kMedium, kPageSize, false);
  ASSERT_EQ(second, first + kMedium);
  arena->FreeLarge(first);
  arena->FreeLarge(second);
  // Twice as long as either.
  EXPECT_EQ(arena->AllocateLarge(size_t{2} * kMedium, kPageSize, false), first);
  arena->FreeLarge(first);
  EXPECT_EQ(arena->Purge(0), size_t{2} * kMedium << kPageShift);
  EXPECT_EQ(arena->statistics().dirty_bytes, 0u);
  EXPECT_TRUE(EntryOf(first).is_empty());
  arena->CheckInvariants();
}

TEST(RunCache, AnObjectGrowsIntoWhatLiesReadyBehindIt) {
  auto arena = MakeArena();
  SpanId first = arena->AllocateLarge(kMedium, kPageSize, false);
  SpanId second = arena->AllocateLarge(kMedium, kPageSize, false);
  SpanId wall = arena->AllocateLarge(kMedium, kPageSize, false);
  arena->FreeLarge(second);
  EXPECT_TRUE(arena->ResizeLarge(first, size_t{2} * kMedium));
  EXPECT_FALSE(arena->ResizeLarge(first, size_t{3} * kMedium));
  arena->FreeLarge(first);
  arena->FreeLarge(wall);
}

// Threads that give each other's objects back: no run has two owners, none is lost.
TEST(RunCache, ThreadsShareIt) {
  auto arena = MakeArena();
  constexpr int kThreads = 4;
  const uint64_t seed = 20261121;
  SCOPED_TRACE(seed);
  struct Object {
    SpanId id = kNoSpan;
    PageCount pages = 0;
    uint64_t stamp = 0;  // in its first and last word
  };
  auto words_of = [](const Object& object) {
    auto* words = reinterpret_cast<uint64_t*>(BytesOf(object.id));
    return std::array{words, words + size_t{object.pages} * kPageSize / sizeof(uint64_t) - 1};
  };
  std::vector<Object> shared(size_t{8} * kThreads);
  std::vector<std::thread> threads;
  Mutex lock(LockRank::kLeaf);
  for (int t = 0; t < kThreads; t++) {
    threads.emplace_back([&, t] {
      Random random(seed + t);
      for (int i = 0; i < 20000; i++) {
        Object object{kNoSpan, 9 + random.Below(60), seed + t * 1'000'000 + i};
        object.id = arena->AllocateLarge(object.pages, kPageSize, false);
        ASSERT_NE(object.id, kNoSpan);
        for (uint64_t* word : words_of(object)) *word = object.stamp;
        lock.Lock();
        std::swap(object, shared[random.Below(static_cast<uint32_t>(shared.size()))]);
        lock.Unlock();
        if (object.id == kNoSpan) continue;
        for (const uint64_t* word : words_of(object)) EXPECT_EQ(*word, object.stamp);
        arena->FreeLarge(object.id);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const Object& object : shared) {
    if (object.id != kNoSpan) arena->FreeLarge(object.id);
  }
  arena->Purge(0);
  arena->CheckInvariants();
  EXPECT_EQ(arena->statistics().dirty_bytes, 0u);
}

}  // namespace
}  // namespace mesh
