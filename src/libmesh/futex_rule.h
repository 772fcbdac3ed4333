// MayBecomePrivate: which futex calls are made private to the process.
//
// Room: libmesh. Thread rule: pure function.
#pragma once

#include <linux/futex.h>

namespace mesh {

// Whether operations of this kind have a second futex word, uaddr2.
constexpr bool HasSecondWord(int command) {
  return command == FUTEX_REQUEUE || command == FUTEX_CMP_REQUEUE || command == FUTEX_WAKE_OP ||
         command == FUTEX_WAIT_REQUEUE_PI || command == FUTEX_CMP_REQUEUE_PI;
}

// Args: operation: of futex(2), flags included. first_is_ours, second_is_ours: whether uaddr and
//   uaddr2 lie in the arena, which is private memory: nobody outside can wait there.
// One flag holds for both words, so a pair is changed only if both are ours.
constexpr bool MayBecomePrivate(int operation, bool first_is_ours, bool second_is_ours) {
  if ((operation & FUTEX_PRIVATE_FLAG) != 0 || !first_is_ours) return false;
  int command = operation & FUTEX_CMD_MASK;
  if (command == FUTEX_FD) return false;
  return !HasSecondWord(command) || second_is_ours;
}

}  // namespace mesh
