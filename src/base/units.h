// Units of the heap and of time, and the two conversions that everybody needs.
//
// Room: base (no neighbours below). Thread rule: pure functions.
#pragma once

#include <cstddef>
#include <cstdint>

namespace mesh {

// The kernel's page on x86-64, and the granule in which spans are cut [bytes]. getpagesize(2).
inline constexpr size_t kPageShift = 12;
inline constexpr size_t kPageSize = size_t{1} << kPageShift;
inline constexpr size_t kKiB = size_t{1} << 10;
inline constexpr size_t kMiB = size_t{1} << 20;
inline constexpr size_t kGiB = size_t{1} << 30;

// Times are in nanoseconds.
inline constexpr uint64_t kNsPerUs = 1'000;
inline constexpr uint64_t kNsPerMs = 1'000'000;
inline constexpr uint64_t kNsPerSecond = 1'000'000'000;

// A number of pages, the index of a page within its segment, and of a slot within its span.
using PageCount = uint32_t;
using PageIndex = uint32_t;
using SlotIndex = uint32_t;

// Rounds `n` up to a multiple of `alignment`, a power of two. Wraps at the top of size_t.
constexpr size_t RoundUp(size_t n, size_t alignment) {
  return (n + alignment - 1) & ~(alignment - 1);
}

// Pages that hold `bytes`; at most 2^52, so callers check the range of PageCount first.
constexpr size_t PagesFor(size_t bytes) {
  return (bytes >> kPageShift) + ((bytes & (kPageSize - 1)) != 0 ? 1 : 0);
}

constexpr bool IsPowerOfTwo(size_t n) { return n != 0 && (n & (n - 1)) == 0; }

}  // namespace mesh
