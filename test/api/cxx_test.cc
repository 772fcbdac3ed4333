// mesh/mesh.hpp: the allocator, heaps as objects, and the memory resource.
#include <gtest/gtest.h>

#include <cstdint>
#include <deque>
#include <list>
#include <memory_resource>
#include <string>
#include <thread>
#include <unordered_map>
#include <utility>
#include <vector>

#include "src/libmesh/mesh/mesh.hpp"

namespace {

struct alignas(256) Wide {
  char bytes[300];
};

template <typename T>
using Vector = std::vector<T, mesh::allocator<T>>;

TEST(CxxAllocator, ServesContainers) {
  Vector<int> numbers;
  for (int i = 0; i < 10'000; i++) numbers.push_back(i);
  EXPECT_TRUE(mesh_heap_contains(nullptr, numbers.data()));
  Vector<Wide> wide(10);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(wide.data()) % 256, 0u);
  std::list<std::string, mesh::allocator<std::string>> list;
  for (int i = 0; i < 1000; i++) list.emplace_back("some text");
  std::deque<int, mesh::allocator<int>> deque(1000, 7);
  EXPECT_EQ(deque.back(), 7);
  EXPECT_EQ(list.size(), 1000u);
}

TEST(CxxAllocator, ThrowsWhatItShould) {
  mesh::allocator<Wide> allocator;
  EXPECT_THROW(static_cast<void>(allocator.allocate(SIZE_MAX / 2)), std::bad_alloc);
  EXPECT_THROW(static_cast<void>(allocator.allocate(size_t{1} << 40)), std::bad_alloc);
}

TEST(CxxAllocator, IsOfItsHeap) {
  mesh::heap one;
  mesh::heap other;
  mesh::allocator<int> of_one(one);
  mesh::allocator<long> of_other(other);
  EXPECT_TRUE(of_one == mesh::allocator<long>(of_one));
  EXPECT_TRUE(of_one != of_other);
  EXPECT_TRUE(of_one != mesh::allocator<int>());
  Vector<int> numbers({1, 2, 3}, of_one);
  EXPECT_TRUE(one.contains(numbers.data()));
  EXPECT_FALSE(other.contains(numbers.data()));
  // The memory moves with where more comes from; a copy stays where it is.
  Vector<int> moved{mesh::allocator<int>(other)};
  const int* place = numbers.data();
  moved = std::move(numbers);
  EXPECT_EQ(moved.data(), place);
  moved.resize(1000);
  EXPECT_TRUE(one.contains(moved.data()));
  Vector<int> copied{mesh::allocator<int>(other)};
  copied = moved;
  EXPECT_TRUE(other.contains(copied.data()));
}

TEST(CxxHeap, MovesAndEnds) {
  mesh::heap first;
  void* object = mesh_heap_malloc(first.get(), 100);
  mesh::heap second = std::move(first);
  EXPECT_EQ(first.get(), nullptr);
  EXPECT_TRUE(second.contains(object));
  second.collect(true);
  second = mesh::heap();
  first = std::move(second);
  first.destroy();
  EXPECT_EQ(first.get(), nullptr);
  // Deleted, not destroyed, by the temporary: the object lives on.
  EXPECT_TRUE(mesh_heap_contains(nullptr, object));
  mesh_free(object);
}

TEST(CxxResource, GoesWithAllThatIsInIt) {
  auto live = [] {
    mesh_process_info_t info;
    EXPECT_EQ(mesh_process_info(&info, sizeof(info)), 0);
    return info.live_bytes;
  };
  const size_t before = live();
  {
    mesh::heap_resource resource;
    mesh::heap_resource other;
    EXPECT_TRUE(resource.is_equal(resource));
    EXPECT_FALSE(resource.is_equal(other));
    auto* table = new std::pmr::unordered_map<int, std::pmr::string>(&resource);
    for (int i = 0; i < 5000; i++) (*table)[i] = "some text that does not fit the string itself";
    EXPECT_TRUE(resource.get().contains((*table)[1].data()));
    void* wide = resource.allocate(100, 4096);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(wide) % 4096, 0u);
    resource.deallocate(wide, 100, 4096);
    EXPECT_GT(live(), before + 5000 * 48);
    std::thread([&] { table->erase(1); }).join();
    delete table;
    static_cast<void>(resource.allocate(100'000));
    resource.release();
    static_cast<void>(resource.allocate(100'000));
  }
  EXPECT_LE(live(), before + 10'000);
}

}  // namespace
