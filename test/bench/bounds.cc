// How long single operations take under patterns that are meant to be bad for them, what metadata
// costs, and what it takes to end a heap: the figures of docs/performance.md, "Bounds".
//
//   bounds [objects] [million objects]     (1,000,000 and 10)
//
// Prints tables. Times are processor time of the thread, the kernel's part included, so that other
// programs do not count; reading the clock twice is part of each, and printed first.
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <iterator>
#include <random>
#include <string>
#include <vector>

#include "src/libmesh/mesh/mesh.h"

namespace {

uint64_t Now() {
  timespec now;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1'000'000'000u + static_cast<uint64_t>(now.tv_nsec);
}

size_t Figure(const char* key) {
  size_t value = 0;
  size_t length = sizeof(value);
  if (mesh_mallctl(key, &value, &length, nullptr, 0) != 0) abort();
  return value;
}

// Times of one operation, in one pattern.
class Times {
 public:
  explicit Times(const char* name) : name_(name) { ns_.reserve(2'000'000); }
  template <typename Operation>
  auto Time(Operation operation) {
    const uint64_t began = Now();
    auto result = operation();
    ns_.push_back(Now() - began);
    return result;
  }
  void Print() {
    std::sort(ns_.begin(), ns_.end());
    const size_t last = ns_.size() - 1;
    printf("| %s | %zu | %.2f | %.1f | %.1f |\n", name_, ns_.size(),
           static_cast<double>(ns_[last / 2]) / 1e3,
           static_cast<double>(ns_[last - last / 10'000]) / 1e3,
           static_cast<double>(ns_[last]) / 1e3);
  }

 private:
  const char* name_;
  std::vector<uint64_t> ns_;
};

bool Done() { return true; }

void Nothing() {
  Times nothing("nothing");
  for (int i = 0; i < 100'000; i++) nothing.Time(Done);
  nothing.Print();
}

// Every eighth object of many spans stays: each refill meets sparse spans, each free another span.
void Sparse(size_t size) {
  std::mt19937 random(1);
  char title[2][64];
  snprintf(title[0], sizeof(title[0]), "malloc, %zu bytes, sparse spans", size);
  snprintf(title[1], sizeof(title[1]), "free, %zu bytes, another span each", size);
  Times allocate(title[0]);
  Times release(title[1]);
  std::vector<void*> objects(40'000'000 / size);
  for (void*& object : objects) object = memset(mesh_malloc(size), 1, size);
  std::shuffle(objects.begin(), objects.end(), random);
  const size_t kept = objects.size() / 8;
  for (size_t i = kept; i < objects.size(); i++) {
    release.Time([&] { return mesh_free(objects[i]), Done(); });
  }
  objects.resize(kept);
  for (size_t i = 0; i < kept; i++) {
    objects.push_back(allocate.Time([&] { return mesh_malloc(size); }));
  }
  for (void* object : objects) mesh_free(object);
  allocate.Print();
  release.Print();
}

// Lengths that fit no hole of those before.
void Large() {
  std::mt19937 random(2);
  Times allocate("malloc, 33 KB to 4 MB");
  Times release("free, 33 KB to 4 MB");
  std::vector<void*> objects(400);
  for (int i = 0; i < 20'000; i++) {
    void*& object = objects[random() % objects.size()];
    if (object != nullptr) release.Time([&] { return mesh_free(object), Done(); });
    const size_t size = 33'000 + random() % (i % 2 == 0 ? 4'000'000 : 200'000);
    object = allocate.Time([&] { return mesh_malloc(size); });
  }
  for (void* object : objects) mesh_free(object);
  allocate.Print();
  release.Print();
}

void OfHeap() {
  std::mt19937 random(3);
  Times allocate("mesh_heap_malloc, 16 to 1000 bytes");
  Times release("mesh_free of these");
  mesh_heap_t* heap = mesh_heap_new();
  std::vector<void*> objects(100'000);
  for (size_t i = 0; i < 1'000'000; i++) {
    void*& object = objects[random() % objects.size()];
    if (object != nullptr) release.Time([&] { return mesh_free(object), Done(); });
    object = allocate.Time([&] { return mesh_heap_malloc(heap, 16 + random() % 985); });
  }
  mesh_heap_destroy(heap);
  allocate.Print();
  release.Print();
}

// Times of ending a heap of `count` objects in two ways [ms].
void EndHeaps(size_t count) {
  printf(
      "\n| %zu objects of | freed one by one [ms] | destroyed [ms] | deleted [ms] |\n"
      "|---|---:|---:|---:|\n",
      count);
  for (size_t size : {size_t{16}, size_t{64}, size_t{256}}) {
    double ms[3];
    for (int way = 0; way < 3; way++) {
      mesh_heap_t* heap = mesh_heap_new();
      std::vector<void*> objects(count);
      for (void*& object : objects) object = memset(mesh_heap_malloc(heap, size), 1, size);
      const uint64_t began = Now();
      if (way == 0) {
        for (void* object : objects) mesh_free(object);
      } else if (way == 1) {
        mesh_heap_destroy(heap);
      } else {
        mesh_heap_delete(heap);
      }
      ms[way] = static_cast<double>(Now() - began) / 1e6;
      if (way == 0) mesh_heap_destroy(heap);
      if (way == 2) {
        for (void* object : objects) mesh_free(object);
      }
      mesh_collect(true);
    }
    printf("| %zu bytes | %.1f | %.2f | %.2f |\n", size, ms[0], ms[1], ms[2]);
  }
}

// What there is beside objects when there are many of them, of `most` bytes or of up to as many.
void ManyObjects(size_t count, size_t most, bool is_mixed) {
  std::mt19937 random(4);
  const size_t before = Figure("stats.physical") - Figure("stats.active");
  std::vector<void*> objects(count);
  memset(objects.data(), 0, count * sizeof(void*));
  const size_t table = Figure("stats.allocated");
  size_t asked = 0;
  for (void*& object : objects) {
    const size_t size = is_mixed ? 1 + random() % most : most;
    object = memset(mesh_malloc(size), 1, size);
    asked += size;
  }
  auto mb = [](size_t bytes) { return static_cast<double>(bytes) / 1e6; };
  const size_t live = Figure("stats.allocated") - table;
  const size_t active = Figure("stats.active");
  const size_t beside = Figure("stats.physical") - active - before;
  printf("| %s%zu bytes | %.0f | %.0f | %.0f | %.2f | %.2f %% |\n", is_mixed ? "1 to " : "", most,
         mb(asked), mb(live), mb(active - table), mb(beside), 100 * mb(beside) / mb(live));
}

struct Kind {
  size_t most;
  bool is_mixed;
};
constexpr Kind kKinds[] = {{16, false}, {64, false}, {100, true}, {200, true}};

// Each in a process of its own, as memory of records stays; not by fork(): in a program that forks
// spans are longer.
void ManyObjectsOfAllKinds(const char* self, size_t millions) {
  printf(
      "\n| %zu objects of | asked for [MB] | objects [MB] | spans [MB] | beside spans [MB] | "
      "of objects |\n|---|---:|---:|---:|---:|---:|\n",
      millions * 1'000'000);
  fflush(stdout);
  for (size_t kind = 0; kind < std::size(kKinds); kind++) {
    std::string words[] = {self, "0", std::to_string(millions), std::to_string(kind)};
    char* arguments[] = {words[0].data(), words[1].data(), words[2].data(), words[3].data(),
                         nullptr};
    pid_t child = -1;
    int status = 0;
    if (posix_spawn(&child, "/proc/self/exe", nullptr, nullptr, arguments, environ) != 0) abort();
    if (waitpid(child, &status, 0) != child || status != 0) abort();
  }
}

}  // namespace

int main(int argc, char** argv) {
  const size_t count = argc > 1 ? strtoull(argv[1], nullptr, 10) : 1'000'000;
  const size_t millions = argc > 2 ? strtoull(argv[2], nullptr, 10) : 10;
  if (argc > 3) {
    const Kind& kind = kKinds[strtoull(argv[3], nullptr, 10) % std::size(kKinds)];
    ManyObjects(millions * 1'000'000, kind.most, kind.is_mixed);
    return 0;
  }
  ManyObjectsOfAllKinds(argv[0], millions);
  printf(
      "\n| operation | times | median [us] | 99.99 %% [us] | worst [us] |\n"
      "|---|---:|---:|---:|---:|\n");
  Nothing();
  for (size_t size : {size_t{16}, size_t{256}, size_t{2048}}) Sparse(size);
  Large();
  OfHeap();
  EndHeaps(count);
  return 0;
}
