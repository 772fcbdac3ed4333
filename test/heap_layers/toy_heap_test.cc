// A complete allocator of layers, and random operations on it whose results are checked against a
// record of what each object has to hold. The composition reads from top to bottom.
#include <gtest/gtest.h>

#include <cerrno>
#include <cstdint>
#include <cstring>
#include <random>
#include <thread>
#include <vector>

#include "heaplayers/align_layer.h"
#include "heaplayers/ansi_layer.h"
#include "heaplayers/bump_layer.h"
#include "heaplayers/counters.h"
#include "heaplayers/counting_layer.h"
#include "heaplayers/errno_layer.h"
#include "heaplayers/freelist_layer.h"
#include "heaplayers/locked_layer.h"
#include "heaplayers/page_source.h"
#include "heaplayers/posix_align_layer.h"
#include "heaplayers/realloc_layer.h"
#include "heaplayers/segregated_layer.h"
#include "heaplayers/size_classes.h"
#include "heaplayers/size_header_layer.h"
#include "heaplayers/spin_lock.h"
#include "heaplayers/zeroing_layer.h"

namespace heaplayers {
namespace {

using SmallObjects = FreelistLayer<SizeHeaderLayer<BumpLayer<64 * 1024, MmapSource>>>;
using LargeObjects = SizeHeaderLayer<MmapSource>;
using BySize = SegregatedLayer<PowerOfTwoClasses<16, 8192>, SmallObjects, LargeObjects>;
using Shared = CountingLayer<AtomicCounter, AlignLayer<LockedLayer<SpinLock, BySize>>>;
using ToyHeap =
    AnsiLayer<PosixAlignLayer<ErrnoLayer<ReallocLayer<KeepIfHalfUsed, ZeroingLayer<Shared>>>>>;

constinit ToyHeap g_toy;

class Shadow {
 public:
  explicit Shadow(std::uint32_t seed) : random_(seed) {}

  ~Shadow() {
    for (Object& object : objects_) Release(object);
  }

  void Step() {
    Object& object = objects_[random_() % objects_.size()];
    if (object.p == nullptr) {
      Allocate(object);
    } else if (random_() % 4 == 0) {
      Resize(object);
    } else {
      Release(object);
    }
  }

 private:
  struct Object {
    unsigned char* p = nullptr;
    std::size_t size = 0;
    unsigned char fill = 0;
  };

  // Mostly small, sometimes far into the large ones.
  std::size_t RandomSize() { return random_() % (std::size_t{1} << (random_() % 18)); }

  void Allocate(Object& object) {
    object.size = RandomSize();
    void* p = nullptr;
    switch (random_() % 3) {
      case 0:
        p = g_toy.malloc(object.size);
        break;
      case 1:
        p = g_toy.calloc(object.size, 1);
        CheckBytes(static_cast<unsigned char*>(p), object.size, 0);
        break;
      default:
        const std::size_t alignment = std::size_t{8} << (random_() % 10);
        ASSERT_EQ(g_toy.posix_memalign(&p, alignment, object.size), 0);
        ASSERT_EQ(reinterpret_cast<std::uintptr_t>(p) % alignment, 0u);
    }
    ASSERT_NE(p, nullptr);
    ASSERT_EQ(reinterpret_cast<std::uintptr_t>(p) % ToyHeap::kAlignment, 0u);
    Fill(object, p);
  }

  void Resize(Object& object) {
    const std::size_t size = RandomSize() + 1;
    auto* p = static_cast<unsigned char*>(g_toy.realloc(object.p, size));
    ASSERT_NE(p, nullptr);
    CheckBytes(p, size < object.size ? size : object.size, object.fill);
    object.size = size;
    Fill(object, p);
  }

  void Release(Object& object) {
    if (object.p != nullptr) CheckBytes(object.p, object.size, object.fill);
    g_toy.free(object.p);
    object = {};
  }

  void Fill(Object& object, void* p) {
    ASSERT_GE(g_toy.malloc_usable_size(p), object.size);
    object.p = static_cast<unsigned char*>(p);
    object.fill = static_cast<unsigned char>(random_() | 1);
    std::memset(p, object.fill, object.size);
  }

  static void CheckBytes(const unsigned char* p, std::size_t size, unsigned char fill) {
    for (std::size_t i = 0; i < size; ++i) ASSERT_EQ(p[i], fill) << "byte " << i << " of " << size;
  }

  std::mt19937 random_;
  std::vector<Object> objects_{200};
};

TEST(ToyHeap, RandomOperationsKeepContents) {
  {
    Shadow shadow(1);
    for (int i = 0; i < 20000; ++i) shadow.Step();
  }
  EXPECT_EQ(g_toy.counts().live_bytes, 0);
  EXPECT_EQ(g_toy.counts().allocations, g_toy.counts().frees);
}

TEST(ToyHeap, ThreadsKeepContents) {
  std::vector<std::thread> threads;
  for (std::uint32_t seed = 1; seed <= 4; ++seed) {
    threads.emplace_back([seed] {
      Shadow shadow(seed);
      for (int i = 0; i < 5000; ++i) shadow.Step();
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(g_toy.counts().live_bytes, 0);
}

TEST(ToyHeap, ObjectsMayBeFreedByAnyThread) {
  std::vector<void*> objects;
  for (std::size_t size = 0; size < 500; ++size) objects.push_back(g_toy.calloc(size, 50));
  std::thread([&] {
    for (void* p : objects) g_toy.free(p);
  }).join();
  EXPECT_EQ(g_toy.counts().live_bytes, 0);
}

TEST(ToyHeap, ImpossibleRequestsSetEnomem) {
  for (std::size_t size : {SIZE_MAX, SIZE_MAX - 15, std::size_t{1} << 62}) {
    errno = 0;
    EXPECT_EQ(g_toy.malloc(size), nullptr);
    EXPECT_EQ(errno, ENOMEM);
  }
}

}  // namespace
}  // namespace heaplayers
