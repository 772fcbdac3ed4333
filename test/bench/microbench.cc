// Single operations of an allocator, with Google Benchmark: run it with the allocator preloaded.
//
//   LD_PRELOAD=libmesh.so microbench --benchmark_filter=Pair
//
// MeshCycle calls mesh_mallctl and is skipped on any other allocator. Times of Refill and
// RemoteFree are of a batch of 10,000; items_per_second counts objects. Room: test; uses no room of
// Mesh.
#include <benchmark/benchmark.h>
#include <malloc.h>

#include <cstdlib>
#include <memory>
#include <semaphore>
#include <thread>
#include <vector>

#include "test/programs/holes.h"
#include "test/programs/mesh_control.h"

namespace {

using benchmark::DoNotOptimize;
using Objects = std::vector<void*>;

// More than one refill of any class, less than what an allocator gives back at once.
constexpr std::size_t kBatch = 10'000;

std::size_t SizeOf(const benchmark::State& state) {
  return static_cast<std::size_t>(state.range(0));
}

void Allocate(Objects& objects, std::size_t size) {
  for (void*& object : objects) DoNotOptimize(object = std::malloc(size));
}

void FreeAll(const Objects& objects) {
  for (void* object : objects) std::free(object);
}

void CountObjects(benchmark::State& state) {
  state.SetItemsProcessed(static_cast<std::int64_t>(state.iterations()) *
                          static_cast<std::int64_t>(kBatch));
}

// malloc and free of one object, which an allocator serves from what the thread has at hand.
void Pair(benchmark::State& state) {
  const std::size_t size = SizeOf(state);
  for (auto unused : state) {
    void* object = std::malloc(size);
    DoNotOptimize(object);
    std::free(object);
  }
  state.SetItemsProcessed(static_cast<std::int64_t>(state.iterations()));
}
BENCHMARK(Pair)->Arg(16)->Arg(64)->Arg(1024)->Arg(8192)->Arg(65536)->Arg(1 << 20);

void CallocPair(benchmark::State& state) {
  const std::size_t size = SizeOf(state);
  for (auto unused : state) {
    void* object = std::calloc(1, size);
    DoNotOptimize(object);
    std::free(object);
  }
  state.SetItemsProcessed(static_cast<std::int64_t>(state.iterations()));
}
BENCHMARK(CallocPair)->Arg(64)->Arg(8192)->Arg(1 << 20);

// Many objects without a free between them: with the refills that takes.
void Refill(benchmark::State& state) {
  Objects objects(kBatch);
  for (auto unused : state) {
    Allocate(objects, SizeOf(state));
    state.PauseTiming();
    FreeAll(objects);
    state.ResumeTiming();
  }
  CountObjects(state);
}
BENCHMARK(Refill)->Arg(16)->Arg(64)->Arg(1024);

// A thread that fills a batch whenever it is asked to, and lives on, so that its spans stay its
// own.
class Producer {
 public:
  Producer(Objects& objects, std::size_t size)
      : thread_([this, &objects, size] {
          for (asked_.acquire(); !is_over_; asked_.acquire()) {
            Allocate(objects, size);
            filled_.release();
          }
        }) {}
  ~Producer() {
    is_over_ = true;  // Seen with the semaphore's release.
    asked_.release();
    thread_.join();
  }

  void Fill() {
    asked_.release();
    filled_.acquire();
  }

 private:
  std::binary_semaphore asked_{0};
  std::binary_semaphore filled_{0};
  bool is_over_ = false;
  std::thread thread_;
};

// Frees of objects of another thread, which is asleep.
void RemoteFree(benchmark::State& state) {
  Objects objects(kBatch);
  Producer producer(objects, SizeOf(state));
  for (auto unused : state) {
    state.PauseTiming();
    producer.Fill();
    state.ResumeTiming();
    FreeAll(objects);
  }
  CountObjects(state);
}
BENCHMARK(RemoteFree)->Arg(64)->Arg(1024);

void UsableSize(benchmark::State& state) {
  const std::unique_ptr<void, void (*)(void*)> object(std::malloc(SizeOf(state)), std::free);
  for (auto unused : state) DoNotOptimize(malloc_usable_size(object.get()));
  state.SetItemsProcessed(static_cast<std::int64_t>(state.iterations()));
}
BENCHMARK(UsableSize)->Arg(64)->Arg(1 << 20);

// A heap of 8 MB with nine objects of ten freed at random, and a full compaction of it.
void MeshCycle(benchmark::State& state) {
  const MeshControl mesh;
  if (!mesh.is_here()) return state.SkipWithError("Mesh is not the allocator here");
  for (auto unused : state) {
    state.PauseTiming();
    holes::Shape shape;
    shape.mb = 8;
    holes::Heap heap(shape);
    heap.FillAll();
    heap.FreeSome();
    state.ResumeTiming();
    if (!mesh.Compact()) return state.SkipWithError("Mesh refused to compact");
    state.PauseTiming();
    if (heap.CountWrong() != 0) return state.SkipWithError("an object has changed");
    heap.FreeRest();
    state.ResumeTiming();
  }
}
BENCHMARK(MeshCycle)->Unit(benchmark::kMillisecond);

}  // namespace

BENCHMARK_MAIN();
