// Tests of the backing: pages and chunks, the file and what takes its place, private views, fork.
#include "src/meshing/backing.h"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <memory>
#include <set>
#include <vector>

#include "src/os/memory.h"
#include "test/os/fault_injector.h"

namespace mesh {
namespace {

using os::Call;
using os::FaultInjector;

constexpr PageCount kChunkPages = 16384;

class BackingTest : public testing::TestWithParam<bool> {
 protected:
  BackingTest() : backing_(std::make_unique<Backing>()) {
    if (!with_file()) injector_.Refuse(Call::kMemoryFile, EPERM, 1, FaultInjector::kForever);
  }

  bool with_file() const { return GetParam(); }
  // What a fork does: a private view, or a copy where there is no file.
  bool Separate(char* view, BackingPage page, PageCount pages) {
    auto address = reinterpret_cast<uintptr_t>(view);
    return with_file() ? backing_->MakePrivate(address, page, pages)
                       : backing_->CopyBack(address, page, pages);
  }
  char* Window(BackingPage page) { return reinterpret_cast<char*>(backing_->AddressOf(page)); }

  FaultInjector injector_;
  std::unique_ptr<Backing> backing_;
};

// Anonymous memory with an alias of `page` over it, as the mesher leaves a span.
char* AliasOf(Backing& backing, BackingPage page, size_t length) {
  auto place = os::MapAnonymous(length);
  EXPECT_TRUE(place.ok());
  EXPECT_TRUE(os::Alias(backing.AddressOf(page), length, place.value).ok());
  return reinterpret_cast<char*>(place.value);
}

TEST_P(BackingTest, PagesAreDisjointAndWritable) {
  std::set<BackingPage> taken;
  for (PageCount pages : {1u, 2u, 3u, 5u, 16u, 7u, 1u}) {
    BackingPage first = backing_->Allocate(pages);
    ASSERT_NE(first, kNoBackingPage);
    for (PageCount i = 0; i < pages; i++) EXPECT_TRUE(taken.insert(first + i).second);
    memset(Window(first), 1, pages * kPageSize);
  }
  EXPECT_EQ(backing_->bytes_in_use(), 35 * kPageSize);
}

TEST_P(BackingTest, FreedPagesHoldNoMemory) {
  BackingPage first = backing_->Allocate(4);
  memset(Window(first), 9, 4 * kPageSize);
  backing_->Free(first, 4);
  EXPECT_EQ(backing_->bytes_in_use(), 0u);
  auto resident = os::ResidentPages(backing_->AddressOf(first), 4 * kPageSize);
  ASSERT_TRUE(resident.ok());
  EXPECT_EQ(resident.value, 0u);
  EXPECT_EQ(Window(first)[0], 0);
}

// In a row, so that neighbours can make one mapping; but not for ever.
TEST_P(BackingTest, FreshPagesComeFirstAndFreedOnesInTheEnd) {
  std::set<BackingPage> seen;
  BackingPage last = backing_->Allocate(4);
  for (int i = 0; i < 4096; i++) {
    seen.insert(last);
    backing_->Free(last, 4);
    BackingPage next = backing_->Allocate(4);
    ASSERT_NE(next, kNoBackingPage);
    if (seen.contains(next)) {
      EXPECT_GT(i, 64);
      return;
    }
    EXPECT_EQ(next, last + 4);
    last = next;
  }
  FAIL() << "no page has come back";
}

// Where most of what was handed out has come back: neighbours again, from where many are in a row,
// whatever their lengths were.
TEST_P(BackingTest, FreedPagesAreHandedOutInRows) {
  std::vector<BackingPage> pages;
  for (int i = 0; i < 6000; i++) pages.push_back(backing_->Allocate(1));
  for (size_t i = 0; i < pages.size(); i++) {
    const bool stays = i < 4000 ? i % 4 == 0 : i >= 5000;
    if (!stays) backing_->Free(pages[i], 1);
  }
  BackingPage last = backing_->Allocate(2);
  for (int i = 0; i < 200; i++) {
    BackingPage next = backing_->Allocate(2);
    EXPECT_EQ(next, last + 2);
    EXPECT_GT(next, pages[3996]);
    EXPECT_LT(next, pages[5000]);
    last = next;
  }
}

// And any of them in the end.
TEST_P(BackingTest, FreedPagesAreHandedOutOnce) {
  std::set<BackingPage> taken;
  for (int i = 0; i < 20'000; i++) taken.insert(backing_->Allocate(1));
  std::vector<BackingPage> freed;
  for (BackingPage page : taken) {
    if (page % 16 != 0) freed.push_back(page);
  }
  for (BackingPage page : freed) {
    backing_->Free(page, 1);
    taken.erase(page);
  }
  const BackingPage highest = *taken.rbegin();
  for (int i = 0; i < 2000; i++) {
    const BackingPage page = backing_->Allocate(1);
    EXPECT_TRUE(taken.insert(page).second);
    if (i >= 1000) continue;
    EXPECT_LE(page, highest + 16);
  }
}

TEST_P(BackingTest, NoRunCrossesChunks) {
  PageCount taken = 0;
  for (BackingPage last = 0; taken < 2 * kChunkPages;) {
    BackingPage first = backing_->Allocate(7);
    ASSERT_NE(first, kNoBackingPage);
    EXPECT_EQ(first / kChunkPages, (first + 6) / kChunkPages);
    // Window memory on both sides of the border belongs to the chunk.
    Window(first)[0] = Window(first + 6)[kPageSize - 1] = 1;
    EXPECT_TRUE(taken == 0 || first > last);
    last = first;
    taken += 7;
  }
}

TEST_P(BackingTest, ARefusalToPopulateIsNoPage) {
  backing_->Allocate(1);
  injector_.Refuse(Call::kPopulate, ENOMEM, 1, 3);
  for (int i = 0; i < 3; i++) EXPECT_EQ(backing_->Allocate(2), kNoBackingPage);
  EXPECT_EQ(backing_->bytes_in_use(), kPageSize);
  EXPECT_NE(backing_->Allocate(2), kNoBackingPage);
}

TEST_P(BackingTest, WithoutAnySharedMemoryThereIsNoPage) {
  injector_.Refuse(Call::kMapFileShared, ENOMEM, 1, 2);
  injector_.Refuse(Call::kMapSharedAnonymous, ENOMEM, 1, 2);
  EXPECT_EQ(backing_->Allocate(1), kNoBackingPage);
  EXPECT_EQ(backing_->bytes_in_use(), 0u);
  EXPECT_EQ(backing_->Allocate(1), kNoBackingPage);
  EXPECT_NE(backing_->Allocate(1), kNoBackingPage);
}

TEST_P(BackingTest, DroppingTheWindowKeepsTheMemory) {
  BackingPage first = backing_->Allocate(2);
  memset(Window(first), 7, 2 * kPageSize);
  backing_->DropWindow(first, first + 1);
  EXPECT_EQ(Window(first)[0], 7);
  EXPECT_EQ(Window(first + 1)[kPageSize - 1], 7);
}

TEST_P(BackingTest, PrivateViewsKeepTheirContentsAndLiveApart) {
  constexpr size_t kLength = 3 * kPageSize;
  BackingPage page = backing_->Allocate(3);
  memset(Window(page), 5, kLength);
  char* one = AliasOf(*backing_, page, kLength);
  char* two = AliasOf(*backing_, page, kLength);
  one[10] = 6;
  for (char* view : {one, two}) {
    EXPECT_TRUE(Separate(view, page, 3));
  }
  backing_->Retire();
  EXPECT_EQ(backing_->bytes_in_use(), 0u);
  EXPECT_EQ(backing_->retired_bytes(), kLength);
  EXPECT_FALSE(backing_->CanShow(page));
  for (char* view : {one, two}) {
    EXPECT_EQ(view[10], 6);
    EXPECT_EQ(view[kLength - 1], 5);
  }
  one[20] = 7;
  EXPECT_EQ(two[20], 5);
  // The last span that showed the pages is gone.
  backing_->Free(page, 3);
  EXPECT_EQ(backing_->retired_bytes(), 0u);
  munmap(one, kLength);
  munmap(two, kLength);
}

TEST_P(BackingTest, BeginsAnewAfterItRetired) {
  for (int round = 0; round < 200; round++) {
    BackingPage page = backing_->Allocate(1);
    ASSERT_NE(page, kNoBackingPage);
    Window(page)[0] = static_cast<char>(round);
    char* view = AliasOf(*backing_, page, kPageSize);
    ASSERT_TRUE(Separate(view, page, 1));
    backing_->Retire();
    // Every other chunk stays named by a span, the others' places in the table are used again.
    EXPECT_EQ(view[0], static_cast<char>(round));
    if (round % 2 == 0) backing_->Free(page, 1);
    munmap(view, kPageSize);
  }
}

// The memory of a retired file goes as a whole: once most of it is of no use, the rest has to move.
TEST_P(BackingTest, RetiredMemoryThatIsMostlyUnusedIsWasteful) {
  BackingPage pages[4];
  for (BackingPage& page : pages) {
    page = backing_->Allocate(1);
    ASSERT_NE(page, kNoBackingPage);
  }
  // Given back before it was retired: it holds nothing.
  backing_->Free(backing_->Allocate(5), 5);
  EXPECT_FALSE(backing_->IsWasteful(pages[0]));
  backing_->Retire();
  EXPECT_EQ(backing_->retired_bytes(), 4 * kPageSize);
  backing_->Free(pages[0], 1);
  backing_->Free(pages[1], 1);
  EXPECT_FALSE(backing_->IsWasteful(pages[3]));
  EXPECT_EQ(backing_->retired_bytes(), 4 * kPageSize);
  // Another file has its own account.
  BackingPage next = backing_->Allocate(1);
  ASSERT_NE(next, kNoBackingPage);
  backing_->Free(pages[2], 1);
  EXPECT_TRUE(backing_->IsWasteful(pages[3]));
  EXPECT_FALSE(backing_->IsWasteful(next));
  backing_->Free(pages[3], 1);
  EXPECT_EQ(backing_->retired_bytes(), 0u);
}

TEST_P(BackingTest, PrivateViewsWithoutTheKernelsHelpChangeNothing) {
  BackingPage page = backing_->Allocate(1);
  char* view = AliasOf(*backing_, page, kPageSize);
  view[1] = 3;
  injector_.Refuse(Call::kMapFilePrivate, ENOMEM);
  injector_.Refuse(Call::kMapAnonymous, ENOMEM);
  EXPECT_FALSE(backing_->MakePrivate(reinterpret_cast<uintptr_t>(view), page, 1));
  EXPECT_FALSE(backing_->CopyBack(reinterpret_cast<uintptr_t>(view), page, 1));
  view[2] = 4;
  EXPECT_EQ(Window(page)[1], 3);
  EXPECT_EQ(Window(page)[2], 4);
  munmap(view, kPageSize);
}

TEST_P(BackingTest, GivesItsDescriptorUp) {
  BackingPage page = backing_->Allocate(1);
  Window(page)[0] = 1;
  EXPECT_EQ(backing_->OwnsDescriptorAmong(0, ~0u), with_file());
  backing_->GiveUpDescriptor();
  EXPECT_FALSE(backing_->OwnsDescriptorAmong(0, ~0u));
  EXPECT_EQ(Window(page)[0], 1);
  // Its memory is still there for a private copy, which needs no descriptor.
  char* view = AliasOf(*backing_, page, kPageSize);
  EXPECT_FALSE(backing_->MakePrivate(reinterpret_cast<uintptr_t>(view), page, 1));
  ASSERT_TRUE(backing_->CopyBack(reinterpret_cast<uintptr_t>(view), page, 1));
  EXPECT_EQ(view[0], 1);
  view[0] = 2;
  EXPECT_EQ(Window(page)[0], 1);
  munmap(view, kPageSize);
}

TEST_P(BackingTest, PrivateViewsFromTheStart) {
  backing_->set_private_views(true);
  BackingPage page = backing_->Allocate(2);
  memset(Window(page), 5, 2 * kPageSize);
  char* view = AliasOf(*backing_, page, 2 * kPageSize);
  ASSERT_TRUE(backing_->Show(page, 2, reinterpret_cast<uintptr_t>(view)).ok());
  EXPECT_EQ(view[kPageSize], 5);
  view[1] = 6;
  // Only where there is no file does the store reach the backing.
  EXPECT_EQ(Window(page)[1], with_file() ? 5 : 6);
  EXPECT_EQ(backing_->NeedsSeparation(page), !with_file());
  backing_->GiveUpDescriptor();
  EXPECT_EQ(backing_->CanShow(page), !with_file());
  munmap(view, 2 * kPageSize);
}

INSTANTIATE_TEST_SUITE_P(Kinds, BackingTest, testing::Bool(), [](const auto& info) {
  return info.param ? "MemoryFile" : "SharedAnonymous";
});

// A program that closes all descriptors and opens its own must find nothing of ours in its file.
TEST(Backing, AForeignFileUnderItsNumberIsNotTouched) {
  auto backing = std::make_unique<Backing>();
  BackingPage page = backing->Allocate(1);
  reinterpret_cast<char*>(backing->AddressOf(page))[0] = 1;
  int number = -1;
  for (int fd = 3; fd < 65536 && number < 0; fd++) {
    if (backing->OwnsDescriptorAmong(static_cast<unsigned>(fd), static_cast<unsigned>(fd))) {
      number = fd;
    }
  }
  ASSERT_GE(number, 0);
  // Behind the interposed close: nobody tells the backing.
  int program = memfd_create("program", 0);
  ASSERT_EQ(ftruncate(program, kPageSize), 0);
  ASSERT_EQ(dup2(program, number), number);
  char* view = AliasOf(*backing, page, kPageSize);
  EXPECT_FALSE(backing->MakePrivate(reinterpret_cast<uintptr_t>(view), page, 1));
  ASSERT_TRUE(backing->CopyBack(reinterpret_cast<uintptr_t>(view), page, 1));
  EXPECT_EQ(view[0], 1);
  // A new chunk is wanted, and must not lie in the program's file.
  for (PageCount taken = 0; taken <= kChunkPages; taken += 16) {
    ASSERT_NE(backing->Allocate(16), kNoBackingPage);
  }
  EXPECT_EQ(lseek(program, 0, SEEK_END), static_cast<off_t>(kPageSize));
  munmap(view, kPageSize);
  close(program);
}

}  // namespace
}  // namespace mesh
