// A server whose threads come and go while their objects stay (Larson and Krishnan, ISMM 1998): a
// thread replaces random objects of a table, ends, and leaves the table to its successor, which
// frees what it did not allocate. Unit: a pair of malloc and free.
#include <vector>

#include "test/bench/shape.h"

namespace {

constexpr std::size_t kObjects = 5'000;
constexpr std::size_t kLargest = 1'000;
// Pairs in the life of one thread: each object is replaced four times on average.
constexpr std::uint64_t kPairsPerLife = 4 * kObjects;

using Table = std::vector<void*>;

void Live(Table& table, std::uint64_t seed) {
  bench::Random random(seed);
  for (std::uint64_t i = 0; i < kPairsPerLife; ++i) {
    void*& object = table[random.Below(table.size())];
    const std::uint64_t mark = reinterpret_cast<std::uintptr_t>(&object);
    bench::CheckMark(object, mark);
    bench::Free(object);
    object = bench::Malloc(8 + random.Below(kLargest));
    bench::Mark(object, mark);
  }
}

}  // namespace

int main(int argc, char** argv) {
  const bench::Shape shape(argc, argv, 6'000'000);
  std::vector<Table> tables(shape.threads(), Table(kObjects));
  for (Table& table : tables) {
    for (void*& object : table) {
      object = bench::Malloc(64);
      bench::Mark(object, reinterpret_cast<std::uintptr_t>(&object));
    }
  }
  const std::uint64_t lives = shape.units() / kPairsPerLife / shape.threads() + 1;
  // A line of threads for each table: one at a time, the next begins when the one before has ended.
  bench::RunThreads(shape.threads(), [&](std::uint64_t line) {
    for (std::uint64_t life = 0; life < lives; ++life) {
      std::thread thread([&] {
        Live(tables[line], shape.seed() + life * shape.threads() + line);
        bench::latency::MergeThread();
      });
      thread.join();
    }
  });
  for (const Table& table : tables) {
    for (void* object : table) bench::Free(object);
  }
  return shape.Report("pair", lives * shape.threads() * kPairsPerLife);
}
