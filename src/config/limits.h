// Numbers that more than one room must agree on, as data: each with its unit and its reason.
//
// What a user may change is not here but in options.def. What one room alone decides stays there.
// Room: config. Thread rule: constants.
#pragma once

#include <cstddef>
#include <cstdint>

namespace mesh {

// Size classes that a statistics snapshot has room for. The table of sizeclass has fewer: this is a
// bound for arrays, checked there by a static_assert.
inline constexpr size_t kMaxSizeClasses = 128;

// Buckets of the pause histogram. Bucket i counts pauses of [2^(i-1), 2^i) microseconds, bucket 0
// those below 1 us, the last one everything from 4 s: longer than any pause a user would tell
// apart.
inline constexpr size_t kPauseBuckets = 24;

// Time between two automatic meshing passes [ms], and its upper bound: one day, far beyond use and
// far below where milliseconds in nanoseconds overflow 64 bits. 100 ms: PLDI'19 s.4.5.
inline constexpr int64_t kDefaultPeriodMs = 100;
inline constexpr int64_t kMaxPeriodMs = int64_t{24} * 60 * 60 * 1000;

}  // namespace mesh
