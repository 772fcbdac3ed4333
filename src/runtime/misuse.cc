// See misuse.h.
#include "src/runtime/misuse.h"

#include "src/arena/page_map.h"
#include "src/base/check.h"
#include "src/base/units.h"
#include "src/os/program.h"
#include "src/runtime/thread_state.h"
#include "src/secure/policy.h"
#include "src/sizeclass/size_class.h"

namespace mesh {
namespace {

// How far above the caller an address may lie and still be taken for one of its stack: more than
// frames take, and less than lies between a stack and what is mapped above it.
constexpr uintptr_t kNearStack = kMiB;
// The largest stack that is looked for [bytes]; the default of threads and of RLIMIT_STACK.
constexpr uintptr_t kLargestStack = 8 * kMiB;

// A thread's stack ends where its thread-local storage begins, the main thread's at the program's
// arguments.
bool IsOnStack(uintptr_t address) {
  uintptr_t here = reinterpret_cast<uintptr_t>(__builtin_frame_address(0));
  if (address - here >= kNearStack) return false;
  for (uintptr_t end : {reinterpret_cast<uintptr_t>(&thread_state), os::MainStackEnd()}) {
    if (address < end && end - here < kLargestStack) return true;
  }
  return false;
}

}  // namespace

void JudgeForeign(const void* object) {
  uintptr_t address = reinterpret_cast<uintptr_t>(object);
  if (PageMap::Owns(address)) FatalAt("free of a pointer that is not in use", object);
  if (address % sizeof(void*) != 0) FatalAt("free of a pointer that is not aligned", object);
  if (IsOnStack(address)) FatalAt("free of a pointer to the stack", object);
  if (os::IsInProgram(address)) FatalAt("free of a pointer to the program's own data", object);
  // Where there is no memory, this faults, as it does in every malloc that looks at what it frees.
  static_cast<void>(*static_cast<const volatile char*>(object));
  if (secure_policy.level > 0) FatalAt("free of a pointer of another allocator", object);
}

// By the page's entry alone: the span's record changes under its class's lock.
void RequireSlot(const void* object) {
  const auto address = reinterpret_cast<uintptr_t>(object);
  const PageEntry entry = PageMap::Find(address);
  const uint32_t reciprocal = kSizeClasses[entry.size_class()].reciprocal;
  if (IsSlotStart(address, entry.bits(), reciprocal)) return;
  FatalAt("realloc of a pointer into the middle of an object", object);
}

}  // namespace mesh
