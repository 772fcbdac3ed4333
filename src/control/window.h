// Window: what another process needs to read this one's statistics and spans, and to ask for work.
//
//   ELF note "Mesh"  ->  kMeshWindow  ->  WindowHead, then field_count WindowFields
//
// Nothing is written for readers: they look at the counters themselves, through process_vm_readv(2)
// or /proc/PID/mem, and the fields say where these lie. So a look costs the process nothing, needs
// no descriptor and no file, works while it is stopped, and the kernel's rule of ptrace(2) decides
// who may look: the same user, where Yama does not forbid it, or root.
// A reader holds no lock: each word is whole, two words may be of different moments.
// Room: control. Thread rule: only `request` is ever written, by one reader at a time and by the
// thread that serves it.
#pragma once

#include <atomic>
#include <cstdint>

namespace mesh {

// The type of the note; its description is a 64-bit distance from itself to the WindowHead.
inline constexpr uint32_t kWindowNoteType = 1;
// Rises when the meaning of a field changes, not when fields come or go.
inline constexpr uint32_t kWindowVersion = 2;

enum class WindowCommand : uint32_t { kNone, kCompact, kScavenge, kSetPeriod };

// One request at a time: a reader writes command and value, then `asked` = served + 1.
struct WindowRequest {
  std::atomic<uint32_t> asked{0};
  std::atomic<uint32_t> begun{0};
  std::atomic<uint32_t> served{0};
  uint32_t command = 0;  // a WindowCommand
  uint64_t value = 0;    // period [ms]
  uint64_t result = 0;   // bytes given back
};

// A place: `bytes` wide, `offset` behind the start of what the first part of its name says.
// "runtime": the one object of all state; "heap", "info", "segment", "span", "thread", "vector",
// "file", "list", "shard": a record of that kind, "<kind>.size" bytes apart. A constant has no
// place: `offset` is its value and `bytes` is 0.
struct WindowField {
  char name[40];
  uint32_t bytes;
  uint32_t offset;
};

struct WindowHead {
  char magic[8];  // "MESHWIN"
  uint32_t version;
  uint32_t field_count;
  const void* ready;  // a byte: not 0 once the runtime stands
  const void* runtime;
  const void* segments;  // of pointers to segments, "segment.count" of them; null: none
  const void* infos;     // of what is known of each size class, that of class 0 first
  WindowRequest* request;
  const WindowField* fields;
};

}  // namespace mesh
