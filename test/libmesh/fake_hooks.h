// FakeHooks: stands in for runtime behind the interposed functions, and notes what they tell it.
#pragma once

#include <string>

namespace mesh {

// What the hooks were called with since the last ClearHooks(), in order, one word each:
// "block", "fork", "parent", "child", "shared", "close:3-3".
extern std::string hook_calls;

// The one address range that Owns() calls ours.
void SetArena(const void* begin, const void* end);

inline void ClearHooks() { hook_calls.clear(); }

}  // namespace mesh
