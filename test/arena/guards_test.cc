// Guards around large objects and spans, with a kernel that refuses to put them up or to take them
// down: what is handed out can be written to, and the free runs stay as they have to be.
#include <gtest/gtest.h>

#include <cstring>
#include <iterator>
#include <memory>
#include <vector>

#include "src/arena/arena.h"
#include "src/base/random.h"
#include "test/os/fault_injector.h"

namespace mesh {
namespace {

constexpr os::Call kCalls[] = {os::Call::kProtect, os::Call::kUnprotect,      os::Call::kRelease,
                               os::Call::kGuard,   os::Call::kUnguard,        os::Call::kDecommit,
                               os::Call::kRemap,   os::Call::kMapPrivateFixed};
constexpr SizeClass kClass = 5;

std::unique_ptr<Arena> MakeGuardedArena() {
  auto arena = std::make_unique<Arena>();
  arena->set_segment_size(64 * kMiB);
  arena->KeepSlotStates();
  arena->GuardLarge(1);
  arena->GuardSpans();
  return arena;
}

void WriteAll(SpanId id, size_t pages) {
  memset(reinterpret_cast<char*>(PageMap::AddressOf(id)), 1, pages << kPageShift);
}

size_t PagesOf(SpanId id) { return PageMap::Record<LargeObject>(id)->pages; }

// The guard behind an object that has room to grow is of many pages.
TEST(Guards, OneThatStaysUpIsNoFreeRun) {
  auto arena = MakeGuardedArena();
  os::FaultInjector injector;
  std::vector<SpanId> kept;
  for (int round = 0; round < 20; round++) {
    SpanId id = arena->AllocateLarge(20, kPageSize, false, 50);
    SpanId next = arena->AllocateLarge(20, kPageSize, false, 50);
    ASSERT_NE(id, kNoSpan);
    ASSERT_NE(next, kNoSpan);
    WriteAll(id, 20);
    // It cannot rest, and the guard behind it, marked or protected, cannot be taken down.
    injector.Refuse(os::Call::kProtect, ENOMEM);
    injector.Refuse(os::Call::kDecommit, ENOMEM);
    injector.Refuse(os::Call::kUnguard, ENOMEM);
    // The first one opens what was to rest.
    injector.Refuse(os::Call::kUnprotect, ENOMEM, 2);
    arena->FreeLarge(id);
    EXPECT_EQ(injector.count(os::Call::kDecommit), 1);
    EXPECT_GE(injector.refused(), 3);
    injector.Reset();
    arena->CheckInvariants();
    kept.push_back(next);
  }
  for (SpanId id : kept) arena->FreeLarge(id);
  arena->CheckInvariants();
}

class Player {
 public:
  explicit Player(uint64_t seed) : random_(seed) {}

  void Play(int steps) {
    for (int i = 0; i < steps; i++) {
      if (random_.Below(3) == 0) Refuse();
      Step();
      injector_.Reset();
      if (i % 16 == 0) arena_->CheckInvariants();
    }
    for (SpanId id : large_) arena_->FreeLarge(id);
    for (SpanId id : spans_) arena_->FreeSpan(id, kSizeClasses[kClass].unit_pages, true);
    arena_->CheckInvariants();
  }

 private:
  void Refuse() {
    injector_.Refuse(kCalls[random_.Below(std::size(kCalls))], ENOMEM, 1 + random_.Below(3),
                     1 + random_.Below(3));
  }

  void Step() {
    switch (random_.Below(5)) {
      case 0:
      case 1: {
        const size_t pages = 1 + random_.Below(60);
        SpanId id = arena_->AllocateLarge(pages, kPageSize, false, random_.Below(3) * pages);
        if (id == kNoSpan) return;
        WriteAll(id, pages);
        return large_.push_back(id);
      }
      case 2:
        if (large_.empty()) return;
        arena_->FreeLarge(TakeAny(large_));
        return;
      case 3: {
        if (large_.empty()) return;
        SpanId id = large_[random_.Below(static_cast<uint32_t>(large_.size()))];
        const size_t pages = 1 + random_.Below(80);
        if (pages != PagesOf(id)) static_cast<void>(arena_->ResizeLarge(id, pages));
        return WriteAll(id, PagesOf(id));
      }
      default:
        if (spans_.size() > 40) {
          return arena_->FreeSpan(TakeAny(spans_), kSizeClasses[kClass].unit_pages, true);
        }
        if (SpanId id = arena_->AllocateSpan(kClass, 1); id != kNoSpan) {
          WriteAll(id, kSizeClasses[kClass].unit_pages);
          spans_.push_back(id);
        }
    }
  }

  SpanId TakeAny(std::vector<SpanId>& from) {
    std::swap(from[random_.Below(static_cast<uint32_t>(from.size()))], from.back());
    SpanId id = from.back();
    from.pop_back();
    return id;
  }

  Random random_;
  std::unique_ptr<Arena> arena_ = MakeGuardedArena();
  os::FaultInjector injector_;
  std::vector<SpanId> large_;
  std::vector<SpanId> spans_;
};

TEST(Guards, AnyRefusalIsSurvived) {
  for (uint64_t seed = 1; seed <= 4; seed++) Player(seed).Play(3000);
}

}  // namespace
}  // namespace mesh
