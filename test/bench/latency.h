// How long single calls of malloc and free take, as histograms: the timed build of the shapes.
//
// Without -DMESH_BENCH_TIMED all of this compiles to the bare calls. With it a call costs two reads
// of the time stamp counter (clock_gettime where there is none) and an increment in memory of the
// thread's own, which no call of the allocator is part of.
//
//   bucket b counts calls of [2^b, 2^(b+1)) ns
//
// A call of 50 us and more is corrected for the time in which another thread had the processor: the
// time since the last look at the thread's own processor time (every 256 calls) less what the
// thread used of it. Time in which it slept of its own will, as for a lock, is the call's and
// stays. The longest call by the clock is reported too.
//
// Thread rule: each thread has histograms of its own until MergeThread(), which any may call.
#ifndef TEST_BENCH_LATENCY_H_
#define TEST_BENCH_LATENCY_H_

#include <sys/resource.h>

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

inline std::uint64_t NowNs(clockid_t clock = CLOCK_MONOTONIC) {
  timespec now;
  clock_gettime(clock, &now);
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

// Corrected from here on, and calls between two looks at the processor time, which takes a
// microsecond.
inline constexpr std::uint64_t kSlowNs = 50'000;
inline constexpr std::uint32_t kCallsPerLook = 256;

// What a thread has used so far: by the clock, of the processor, and how often it went to sleep.
struct Usage {
  static Usage Now() {
    rusage used;
    getrusage(RUSAGE_THREAD, &used);
    // Not the times of getrusage, which are as old as the last tick.
    return {NowNs(), NowNs(CLOCK_THREAD_CPUTIME_ID), used.ru_nvcsw};
  }

  std::uint64_t wall_ns = 0;
  std::uint64_t cpu_ns = 0;
  long sleeps = 0;
};

inline thread_local Usage t_looked;
inline thread_local std::uint32_t t_calls = 0;

// Returns how much of a call that has just ended after `ns` the thread was not kept from running.
inline std::uint64_t Running(std::uint64_t ns) {
  const Usage before = t_looked;
  t_looked = Usage::Now();
  const std::uint64_t wall_ns = t_looked.wall_ns - before.wall_ns;
  const std::uint64_t cpu_ns = t_looked.cpu_ns - before.cpu_ns;
  if (t_looked.sleeps != before.sleeps || wall_ns <= cpu_ns) return ns;
  return ns > wall_ns - cpu_ns ? ns - (wall_ns - cpu_ns) : 0;
}

// One set of histograms per thread, and their sum.
inline thread_local Histogram t_counts{};
inline thread_local std::array<std::uint64_t, kCalls> t_longest{};
inline thread_local std::array<std::uint64_t, kCalls> t_longest_by_clock{};
inline std::array<std::array<std::atomic<std::uint64_t>, kBuckets>, kCalls> g_counts;
inline std::array<std::atomic<std::uint64_t>, kCalls> g_longest;
inline std::array<std::atomic<std::uint64_t>, kCalls> g_longest_by_clock;
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
  if (t_calls++ % kCallsPerLook == 0) t_looked = Usage::Now();
  const std::uint64_t start = Ticks();
  const auto result = call();
  const std::uint64_t by_clock = ToNs(Ticks() - start);
  const std::uint64_t ns = by_clock < kSlowNs ? by_clock : Running(by_clock);
  const auto index = static_cast<std::size_t>(kind);
  if (by_clock > t_longest_by_clock[index]) t_longest_by_clock[index] = by_clock;
  ++t_counts[index][static_cast<std::size_t>(std::bit_width(ns | 1) - 1)];
  if (ns > t_longest[index]) t_longest[index] = ns;
  return result;
}

// order: relaxed throughout; whoever prints has joined the threads.
inline void RaiseTo(std::atomic<std::uint64_t>& longest, std::uint64_t ns) {
  std::uint64_t before = longest.load(std::memory_order_relaxed);
  while (before < ns && !longest.compare_exchange_weak(before, ns, std::memory_order_relaxed)) {
  }
}

inline void MergeThread() {
  for (std::size_t call = 0; call < kCalls; ++call) {
    for (std::size_t b = 0; b < kBuckets; ++b) {
      g_counts[call][b].fetch_add(t_counts[call][b], std::memory_order_relaxed);
    }
    RaiseTo(g_longest[call], t_longest[call]);
    RaiseTo(g_longest_by_clock[call], t_longest_by_clock[call]);
  }
  t_counts = {};
  t_longest = {};
  t_longest_by_clock = {};
}

inline void Print() {
  constexpr const char* kNames[kCalls] = {"malloc", "free"};
  std::printf(R"(, "latency": {)");
  for (std::size_t call = 0; call < kCalls; ++call) {
    std::printf(R"(%s"%s": {"longest_ns": %llu, "longest_by_clock_ns": %llu, "counts": [)",
                call == 0 ? "" : ", ", kNames[call],
                static_cast<unsigned long long>(g_longest[call].load()),
                static_cast<unsigned long long>(g_longest_by_clock[call].load()));
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
