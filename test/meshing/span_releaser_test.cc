// Tests of giving empty spans back, whatever memory lies behind them.
#include "src/meshing/span_releaser.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <cstring>
#include <memory>

#include "src/meshing/backing.h"
#include "src/os/memory.h"
#include "test/os/fault_injector.h"

namespace mesh {
namespace {

using os::Call;
using os::FaultInjector;

constexpr SizeClass kClass = ClassFor(256);

class SpanReleaserTest : public testing::Test {
 protected:
  SpanReleaserTest()
      : arena_(std::make_unique<Arena>()),
        backing_(std::make_unique<Backing>()),
        releaser_(*arena_, budget_) {
    arena_->set_segment_size(64 * kMiB);
    budget_.Refresh();
  }

  MiniHeap* Start() {
    SpanId id = arena_->AllocateSpan(kClass, 1);
    EXPECT_NE(id, kNoSpan);
    return MiniHeap::Start(id, kClass, 1, nullptr);
  }

  static char* BytesOf(MiniHeap* span) { return reinterpret_cast<char*>(span->address()); }

  MiniHeap* StartShared(BackingPage* page) {
    MiniHeap* span = Start();
    *page = backing_->Allocate(span->pages());
    EXPECT_TRUE(budget_.Take(MappingBudget::kPerAlias));
    EXPECT_TRUE(os::Alias(backing_->AddressOf(*page), span->length(), span->address()).ok());
    span->SetMemory(SpanMemory::kBacked, *page);
    return span;
  }

  std::unique_ptr<Arena> arena_;
  std::unique_ptr<Backing> backing_;
  MappingBudget budget_;
  SpanReleaser releaser_;
};

TEST_F(SpanReleaserTest, PrivateMemoryStaysForReuse) {
  MiniHeap* span = Start();
  SpanId id = span->id();
  memset(BytesOf(span), 1, span->length());
  EXPECT_TRUE(releaser_.Release(span));
  EXPECT_TRUE(PageMap::Find(PageMap::AddressOf(id)).is_empty());
  EXPECT_GT(arena_->statistics().dirty_bytes, 0u);
  EXPECT_EQ(Start()->id(), id);
}

TEST_F(SpanReleaserTest, AnAliasBecomesFreshMemory) {
  BackingPage page = 0;
  int64_t before = budget_.used();
  MiniHeap* span = StartShared(&page);
  memset(BytesOf(span), 1, span->length());
  char* bytes = BytesOf(span);
  EXPECT_TRUE(releaser_.Release(span));
  EXPECT_EQ(budget_.used(), before);
  EXPECT_EQ(arena_->statistics().dirty_bytes, 0u);
  EXPECT_EQ(bytes[0], 0);
  // Others of its group go on with the pages: a store to the addresses does not reach them.
  bytes[0] = 2;
  EXPECT_EQ(*reinterpret_cast<char*>(backing_->AddressOf(page)), 1);
  EXPECT_GT(backing_->bytes_in_use(), 0u);
  arena_->CheckInvariants();
}

TEST_F(SpanReleaserTest, AViewOfARetiredBackingBecomesFreshMemory) {
  BackingPage page = 0;
  MiniHeap* span = StartShared(&page);
  memset(BytesOf(span), 1, span->length());
  ASSERT_TRUE(backing_->MakePrivate(span->address(), page, span->pages()));
  backing_->Retire();
  char* bytes = BytesOf(span);
  EXPECT_TRUE(releaser_.Release(span));
  EXPECT_EQ(bytes[0], 0);
}

TEST_F(SpanReleaserTest, RefusedTheSpanIsAsItWas) {
  BackingPage page = 0;
  MiniHeap* span = StartShared(&page);
  memset(BytesOf(span), 1, span->length());
  int64_t used = budget_.used();
  {
    FaultInjector injector;
    injector.Refuse(Call::kMapPrivateFixed, ENOMEM);
    EXPECT_FALSE(releaser_.Release(span));
  }
  EXPECT_EQ(budget_.used(), used);
  EXPECT_FALSE(PageMap::Find(span->address()).is_empty());
  EXPECT_EQ(BytesOf(span)[0], 1);
  EXPECT_EQ(span->memory(), SpanMemory::kBacked);
  EXPECT_TRUE(releaser_.Release(span));
}

}  // namespace
}  // namespace mesh
