// DescriptorGate: while we have a descriptor at a number of the kernel's choice, the program closes
// none and puts none in its place.
//
// A file that we open gets the lowest free number, to be read and closed, or moved to a high one.
// Were the number closed and taken by a file of the program's in between, we would read that, close
// it, or take it for ours. So calls of the program that close descriptors wait until we are done;
// and where such a call is under way, which may take long, we open nothing, after a few tries.
// Room: os. Thread rule: any thread. Allocates nothing.
//
// [DG1] Who opens is inside the heap: a signal handler that interrupts it and closes does not wait.
// [DG2] A process that shares the memory, but not the descriptors, leaves the gate alone: it may be
//       killed inside.
#pragma once

#include <atomic>
#include <cerrno>
#include <cstdint>

#include "src/os/result.h"

namespace mesh::os {

class DescriptorGate {
 public:
  // The program is about to close a descriptor; Leave() has to follow.
  static void Enter();
  static void Leave();

  // We are about to open one: EndOpening() has to follow. False: somebody is closing.
  static bool TryBeginOpening();
  static void EndOpening();

  // Names the process whose descriptors they are. Nobody is in the gate: at the start, and in a
  // fork's child, where those who were in it are not.
  static void StartIn(int process);
  // Whether the calling process is that one. True before StartIn().
  static bool IsOwn();

 private:
  // Above 0: how many threads are closing; below: how many are opening.
  static inline std::atomic<uint32_t> state_{0};
  static inline std::atomic<int> process_{0};
};

// Keeps the gate for as long as a descriptor of ours may be anywhere.
class OpeningScope {
 public:
  OpeningScope() = default;
  ~OpeningScope() {
    if (is_held_) DescriptorGate::EndOpening();
  }
  OpeningScope(const OpeningScope&) = delete;
  OpeningScope& operator=(const OpeningScope&) = delete;

  // Errors: EBUSY: the program is closing a descriptor, and does not come back from that.
  Status Begin();

 private:
  bool is_held_ = false;
};

}  // namespace mesh::os
