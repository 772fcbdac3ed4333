// SizeClassStatistics: the figures of one size class, at one moment.
//
// Room: global. Thread rule: a copy, the caller's.
#pragma once

#include <cstdint>

namespace mesh {

struct SizeClassStatistics {
  uint32_t attached = 0;
  uint32_t partial = 0;
  uint64_t spans = 0;          // virtual
  uint64_t meshed = 0;         // of these, whose physical span another one pays for
  uint64_t pages = 0;          // virtual
  uint64_t meshed_pages = 0;   // of these, which another span's physical pages serve
  uint64_t slots = 0;          // of physical spans
  uint64_t in_use = 0;         // of these, set
  uint64_t spans_started = 0;  // since the program began
  uint64_t spans_peak = 0;     // most at one time
};

}  // namespace mesh
