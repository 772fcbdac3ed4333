#include "heaplayers/thread_local_layer.h"

#include <gtest/gtest.h>

#include <thread>

#include "heaplayers/bump_layer.h"
#include "heaplayers/freelist_layer.h"
#include "heaplayers/page_source.h"

namespace heaplayers {
namespace {

struct FirstTag {};
struct SecondTag {};
using PerThread = FreelistLayer<BumpLayer<4096, MmapSource>>;
using Mine = ThreadLocalLayer<FirstTag, PerThread>;
using Other = ThreadLocalLayer<SecondTag, PerThread>;
static_assert(ClearableHeap<Mine> && !SizedHeap<Mine> && !OwningHeap<Mine>);

TEST(ThreadLocalLayer, EachThreadHasItsOwnFreeObjects) {
  void* p = Mine::malloc(32);
  Mine::free(p);
  std::thread([&] {
    EXPECT_NE(Mine::malloc(32), p);
    Mine::clear();
  }).join();
  EXPECT_EQ(Mine::malloc(32), p);
  Mine::clear();
}

TEST(ThreadLocalLayer, AFreedObjectStaysWithTheFreeingThread) {
  void* p = Mine::malloc(32);
  std::thread([&] {
    Mine::free(p);
    EXPECT_EQ(Mine::malloc(32), p);
    Mine::free(p);
    Mine::clear();
  }).join();
  EXPECT_NE(Mine::malloc(32), p);
  Mine::clear();
}

TEST(ThreadLocalLayer, TagsKeepStacksApart) {
  void* p = Mine::malloc(32);
  Mine::free(p);
  EXPECT_NE(Other::malloc(32), p);
  Mine::clear();
  Other::clear();
}

}  // namespace
}  // namespace heaplayers
