// FakeHooks: stands in for runtime behind the interposed functions, and notes what they tell it.
#pragma once

#include <string>

namespace mesh {

// What the hooks were called with since the last ClearHooks(), in order, one word each:
// "block", "rest", "awake", "thread", "thrd", "sole", "permit", "resume", "fork", "parent",
// "child", "shared", "close:3-3"; "lend:8:all" with a length for each piece, "back", "keep:100",
// "end", "action:11", "blocked".
extern std::string hook_calls;

// What IsPublishing() says; false at first.
extern bool is_publishing;

// How often a thread that is about to sleep has something to do first; 0 at first.
extern int idle_slices;

// Whether forks are refused; false at first.
extern bool is_fork_refused;

// The one address range that Owns() and MayBeMeshed() call ours.
void SetArena(const void* begin, const void* end);

inline void ClearHooks() { hook_calls.clear(); }

}  // namespace mesh
