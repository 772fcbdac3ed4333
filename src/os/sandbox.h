// Whether meshing survives a seccomp filter that the program is about to put on itself.
//
// Room: os. Thread rule: any thread; all signals are blocked meanwhile. Allocates nothing.
#pragma once

namespace mesh::os {

// Tries the filter in a child that may die: installs it there, and makes the calls that a pass of
// the compactor makes. True as well for a filter that cannot be installed.
// Args:    program: a struct sock_fprog, as prctl(PR_SET_SECCOMP) takes it.
// Returns: false when the child was killed, or there can be no child.
// Cost:    about a millisecond.
bool SurvivesFilter(const void* program);

}  // namespace mesh::os
