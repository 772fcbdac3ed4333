// Mallctl: typed keys to read and steer the allocator, behind mesh_mallctl().
//
// Keys are the commands and settings of kControlKeys, "opt." and an option's name, "stats." and a
// statistic's name, "stats.class.<i>.<field>", "stats.pauses.<i>", "stats.waits.<i>". What is acted
// on is handed in. Room: control. Thread rule: any thread; takes no lock of its own.
#pragma once

#include <cstddef>
#include <cstdint>

#include "src/config/options.h"
#include "src/control/statistics.h"

namespace mesh {

// What control acts on: functions of the rooms above, each called with `context`.
struct ControlTarget {
  void* context;
  const Options* options;
  size_t (*compact)(void* context);   // meshes all it can; returns bytes given back
  size_t (*scavenge)(void* context);  // gives free pages back; returns bytes given back
  void (*collect)(void* context, Statistics* out);
  uint64_t (*period_ms)(void* context);
  void (*set_period_ms)(void* context, uint64_t period_ms);  // 0 <= period_ms <= kMaxPeriodMs
};

struct ControlKeySpec {
  const char* key;
  const char* type;    // as C type, or "char[]": text in the caller's buffer
  const char* access;  // "read", "read/write", "call"
  const char* sentence;
};

// The keys that are not made from the tables of options and statistics.
inline constexpr ControlKeySpec kControlKeys[] = {
    {"mesh.check_period", "size_t", "read/write",
     "Least time between two automatic meshing passes in milliseconds; 0 turns them off."},
    {"mesh.compact", "size_t", "call",
     "Meshes all that can be meshed and gives free pages back; yields the bytes given back."},
    {"mesh.scavenge", "size_t", "call", "Gives free pages back; yields the bytes given back."},
    {"arena", "size_t", "read", "Addresses reserved by the arena in bytes."},
    {"arena.text", "char[]", "read", "The arena in words."},
    {"stats.json", "char[]", "read",
     "All statistics as one JSON object, as in MESH_STATS_FILE; 32 KiB hold it."},
    {"stats.resident", "size_t", "read", "Proportional set size of the process in bytes."},
    {"stats.physical", "size_t", "read",
     "Physical memory of the process in bytes: anonymous part of the proportional set size, and "
     "the backing of meshed pages."},
    {"stats.active", "size_t", "read", "Bytes of spans in use, each physical page counted once."},
    {"stats.allocated", "size_t", "read", "Bytes in objects that the program holds."},
    {"stats.mapped", "size_t", "read", "Virtual bytes of spans in use."},
    {"stats.meshed", "size_t", "read", "Bytes saved by meshing now."},
    {"stats.barrier_tier", "const char*", "read", "Name of the write barrier in force."},
    {"stats.class_count", "size_t", "read", "Number of size classes."},
};

// Reads a value, writes one, or calls a command, as mallctl(3) of jemalloc does.
// Args:    name: the key. oldp, oldlenp: where the old value goes and room for it in bytes; both
//   null if it is not wanted. newp, newlen: the new value; null and 0 to leave it.
// Returns: 0; ENOENT: no such key; EINVAL: a size does not fit the type (then as much of the old
//   value as fits is copied and *oldlenp says how much), or a new value is out of range, or `name`
//   is null; EPERM: the key cannot be written. On an error nothing was changed or run.
//   A char[] value takes any room that holds it with its null; *oldlenp becomes its length.
// Locks:   none here; those of the target's functions.
int Mallctl(const ControlTarget& target, const char* name, void* oldp, size_t* oldlenp, void* newp,
            size_t newlen);

}  // namespace mesh
