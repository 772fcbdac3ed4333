// Statistics: one snapshot of the allocator and of the process, as plain data.
//
// Whoever collects fills it; reports, mallctl and mallinfo read it. statistics.def is the table.
// About 7 KiB, so that it fits on the smallest thread stack (16 KiB).
// Room: control. Thread rule: a value; belongs to whoever holds it.
#pragma once

#include <cstddef>
#include <cstdint>

#include "src/config/limits.h"

namespace mesh {

struct ClassStatistics {
#define MESH_CLASS_STATISTIC(Type, field, sentence) Type field = 0;
#include "src/control/statistics.def"
#undef MESH_CLASS_STATISTIC
};

struct Statistics {
#define MESH_STATISTIC(field, sentence) uint64_t field = 0;
#include "src/control/statistics.def"
#undef MESH_STATISTIC

  // Name of the write barrier in force; never null, lives as long as the process.
  const char* barrier_tier = "none";

  // [i]: 2^(i-1) to 2^i microseconds, see kPauseBuckets. pauses: how long batches held a size
  // class; waits: how long threads waited for one.
  uint64_t pauses[kPauseBuckets] = {};
  uint64_t waits[kPauseBuckets] = {};

  // Filled up to class_count, by rising object_size.
  uint64_t class_count = 0;
  ClassStatistics classes[kMaxSizeClasses];

  // Physical memory of the process, meshed pages included whether anybody touched them since or
  // not: PSS alone misses those that nobody did.
  uint64_t physical_bytes() const { return pss_anon_bytes + backing_bytes; }
};

static_assert(sizeof(Statistics) <= 8192, "Statistics lie on the stacks of callers");

struct StatisticSpec {
  const char* key;  // for mallctl
  uint64_t Statistics::*field;
  const char* sentence;
};

// The table, in the order of statistics.def.
inline constexpr StatisticSpec kStatisticSpecs[] = {
#define MESH_STATISTIC(field, sentence) {"stats." #field, &Statistics::field, sentence},
#include "src/control/statistics.def"
#undef MESH_STATISTIC
};

}  // namespace mesh
