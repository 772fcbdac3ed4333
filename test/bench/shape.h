// What the benchmark shapes share: calls of malloc that can be timed, threads, random numbers, and
// the line of JSON on stdout that python/bench.py reads:
//
//   {"unit": "pair", "units": 4000000, "figures": {...}, "latency": {...}}
//
// "units" is the work that was done, for costs per unit; "figures" are what a shape measured
// itself; "latency" is there in the timed build of a shape only (-DMESH_BENCH_TIMED): histograms of
// how long a call of malloc or free took.
//
// A shape checks what it reads back (Expect), so that an allocator that loses data does not win.
// Rooms: test; uses no room of Mesh.
#ifndef TEST_BENCH_SHAPE_H_
#define TEST_BENCH_SHAPE_H_

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <span>
#include <thread>
#include <vector>

#include "test/bench/latency.h"
#include "test/programs/number_options.h"

namespace bench {

// xorshift64*: a few instructions, so that what is measured is the allocator. Vigna 2016.
class Random {
 public:
  explicit Random(std::uint64_t seed) : state_(seed * 0x9E37'79B9'7F4A'7C15 + 1) {}

  // Returns a number below `bound`, which is below 2^32.
  std::uint32_t Below(std::uint64_t bound) {
    state_ ^= state_ >> 12;
    state_ ^= state_ << 25;
    state_ ^= state_ >> 27;
    const std::uint64_t high = (state_ * 0x2545'F491'4F6C'DD1D) >> 32;
    return static_cast<std::uint32_t>((high * bound) >> 32);
  }

  // Returns a size of at least 8 bytes and below `limit`, small ones more often: uniform in two
  // steps, as most programs have few large objects.
  std::size_t SmallSize(std::size_t limit) { return 8 + Below(8 + Below(limit - 16)); }

 private:
  std::uint64_t state_;
};

inline void* Malloc(std::size_t size) {
  return latency::Timed(latency::Call::kMalloc, [size] { return std::malloc(size); });
}

inline void* Calloc(std::size_t size) {
  return latency::Timed(latency::Call::kMalloc, [size] { return std::calloc(1, size); });
}

inline void* Realloc(void* object, std::size_t size) {
  return latency::Timed(latency::Call::kMalloc, [=] { return std::realloc(object, size); });
}

inline void* Aligned(std::size_t alignment, std::size_t size) {
  return latency::Timed(latency::Call::kMalloc, [=] {
    void* object = nullptr;
    return posix_memalign(&object, alignment, size) == 0 ? object : nullptr;
  });
}

inline void Free(void* object) {
  latency::Timed(latency::Call::kFree, [object] {
    std::free(object);
    return nullptr;
  });
}

// Ends the program with status 1 where what an allocator has to keep is not there.
inline void Expect(bool condition, const char* what) {
  if (condition) return;
  std::fprintf(stderr, "wrong: %s\n", what);
  std::_Exit(1);
}

// Marks an object by writing its first 8 bytes, and checks the mark.
inline void Mark(void* object, std::uint64_t mark) {
  Expect(object != nullptr, "no memory");
  *static_cast<volatile std::uint64_t*>(object) = mark;
}
inline void CheckMark(const void* object, std::uint64_t mark) {
  Expect(*static_cast<const volatile std::uint64_t*>(object) == mark, "an object has changed");
}

// Runs body(0) to body(count - 1) in threads of their own, a single one in the calling thread.
template <typename Body>
void RunThreads(std::uint64_t count, const Body& body) {
  if (count == 1) return body(0);
  std::vector<std::thread> threads;
  threads.reserve(count);
  for (std::uint64_t i = 0; i < count; ++i) {
    threads.emplace_back([&body, i] {
      body(i);
      latency::MergeThread();
    });
  }
  for (std::thread& thread : threads) thread.join();
}

// The options that every shape has. `units` is about how much work a run at 100 % does.
class Shape {
 public:
  Shape(int argc, char** argv, std::uint64_t units, std::span<const NumberOption> more = {})
      : units_(units) {
    std::vector<NumberOption> options(more.begin(), more.end());
    options.push_back({"--scale_percent", &scale_percent_, 1, 10'000});
    options.push_back({"--threads", &threads_, 1, 256});
    options.push_back({"--seed", &seed_, 0, UINT64_MAX});
    ParseNumberOptions(argc, argv, options);
    latency::Begin();
  }

  std::uint64_t units() const {
    return units_ * scale_percent_ < 100 ? 1 : units_ * scale_percent_ / 100;
  }
  std::uint64_t threads() const { return threads_; }
  std::uint64_t seed() const { return seed_; }

  // Prints the line. Args: figure: name of a figure of the shape's own, or nullptr.
  // Returns: the exit status.
  int Report(const char* unit, std::uint64_t done, const char* figure = nullptr,
             double value = 0) const {
    latency::MergeThread();
    std::printf(R"({"unit": "%s", "units": %llu)", unit, static_cast<unsigned long long>(done));
    if (figure != nullptr) std::printf(R"(, "figures": {"%s": %.1f})", figure, value);
    latency::Print();
    std::printf("}\n");
    return 0;
  }

 private:
  std::uint64_t units_;
  std::uint64_t scale_percent_ = 100;
  std::uint64_t threads_ = 1;
  std::uint64_t seed_ = 1;
};

}  // namespace bench

#endif  // TEST_BENCH_SHAPE_H_
