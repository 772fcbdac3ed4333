// Trying a system call that a seccomp filter may punish with death: in a child that may die.
//
// Room: os. Thread rule: any thread. Allocates nothing; all signals are blocked meanwhile.
#pragma once

#include "src/os/result.h"

namespace mesh::os {

// True where a system call that programs rarely make may be refused by killing the caller: under a
// seccomp filter, or when that cannot be found out.
bool UnusualCallsMayKill();

// Runs attempt(argument) in a child process that shares our memory but not our descriptors, while
// this thread waits; other threads run on. The child is no son for wait(2) without __WALL, and its
// end sends no signal.
// Args:    attempt: makes raw system calls and touches memory of this thread alone; its result must
//          not be negative. What it opens closes with the child.
// Returns: what attempt returned.
// Errors:  ECHILD: the child was killed. ENOSYS: a kernel before 5.16, where a filter's kill ends
//          everybody who shares the memory. Or clone(2)'s own.
// Cost:    about 100 µs.
Result<int> ProbeInChild(int (*attempt)(void*), void* argument);

// Whether Residency() may be called. Cost: where calls may kill, that of ProbeInChild().
bool MayAskResidency();

}  // namespace mesh::os
