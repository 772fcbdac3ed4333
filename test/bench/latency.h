// How long single calls of malloc and free take, as histograms: the timed build of the shapes.
//
// Without -DMESH_BENCH_TIMED all of this compiles to the bare calls. With it a call costs two reads
// of the time stamp counter (clock_gettime where there is none) and an increment in memory of the
// thread's own, which no call of the allocator is part of.
//
//   bucket b counts calls of [2^b, 2^(b+1)) ns; the ends are by the clock, so a call during which
//   the thread was not running counts with that time.
//
// Thread rule: each thread has histograms of its own until MergeThread(), which any may call.
#ifndef TEST_BENCH_LATENCY_H_
#define TEST_BENCH_LATENCY_H_

#include <array>
#include <atomic>
#include <bit>
#include <cstdint>
#include <cstdio>
#include <ctime>

namespace bench::latency {

enum class Call { kMalloc, kFree };

#ifndef MESH_BENCH_TIMED

template <typename F>
auto Timed(Call, const F& call) {
  return call();
}
inline void Begin() {}
inline void MergeThread() {}
inline void Print() {}

#else

inline constexpr int kCalls = 2;
inline constexpr int kBuckets = 40;  // The last one begins at 9 minutes.
using Histogram = std::array<std::array<std::uint64_t, kBuckets>, kCalls>;

inline std::uint64_t NowNs() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000'000 +
         static_cast<std::uint64_t>(now.tv_nsec);
}

inline std::uint64_t Ticks() {
#if defined(__x86_64__)
  return __builtin_ia32_rdtsc();
#else
  return NowNs();
#endif
}

// One set of histograms per thread, and their sum.
inline thread_local Histogram t_counts{};
inline thread_local std::array<std::uint64_t, kCalls> t_longest{};
inline std::array<std::array<std::atomic<std::uint64_t>, kBuckets>, kCalls> g_counts;
inline std::array<std::atomic<std::uint64_t>, kCalls> g_longest;
inline std::uint64_t g_ticks_per_second = 1'000'000'000;

// Measures the counter against the clock for 20 ms, so that ticks can be told in ns.
inline void Begin() {
  const std::uint64_t start_ns = NowNs();
  const std::uint64_t start = Ticks();
  while (NowNs() - start_ns < 20'000'000) {
  }
  g_ticks_per_second = (Ticks() - start) * 1'000'000'000 / (NowNs() - start_ns);
}

inline std::uint64_t ToNs(std::uint64_t ticks) {
  return static_cast<std::uint64_t>(static_cast<double>(ticks) * 1e9 /
                                    static_cast<double>(g_ticks_per_second));
}

template <typename F>
auto Timed(Call kind, const F& call) {
  const std::uint64_t start = Ticks();
  const auto result = call();
  const std::uint64_t ns = ToNs(Ticks() - start);
  const auto index = static_cast<std::size_t>(kind);
  ++t_counts[index][static_cast<std::size_t>(std::bit_width(ns | 1) - 1)];
  if (ns > t_longest[index]) t_longest[index] = ns;
  return result;
}

// order: relaxed throughout; whoever prints has joined the threads.
inline void MergeThread() {
  for (std::size_t call = 0; call < kCalls; ++call) {
    for (std::size_t b = 0; b < kBuckets; ++b) {
      g_counts[call][b].fetch_add(t_counts[call][b], std::memory_order_relaxed);
    }
    std::uint64_t longest = g_longest[call].load(std::memory_order_relaxed);
    while (longest < t_longest[call] && !g_longest[call].compare_exchange_weak(
                                            longest, t_longest[call], std::memory_order_relaxed)) {
    }
  }
  t_counts = {};
  t_longest = {};
}

inline void Print() {
  constexpr const char* kNames[kCalls] = {"malloc", "free"};
  std::printf(R"(, "latency": {)");
  for (std::size_t call = 0; call < kCalls; ++call) {
    std::printf(R"(%s"%s": {"longest_ns": %llu, "counts": [)", call == 0 ? "" : ", ", kNames[call],
                static_cast<unsigned long long>(g_longest[call].load()));
    for (std::size_t b = 0; b < kBuckets; ++b) {
      std::printf("%s%llu", b == 0 ? "" : ", ",
                  static_cast<unsigned long long>(g_counts[call][b].load()));
    }
    std::printf("]}");
  }
  std::printf("}");
}

#endif

}  // namespace bench::latency

#endif  // TEST_BENCH_LATENCY_H_
