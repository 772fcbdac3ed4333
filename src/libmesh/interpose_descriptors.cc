// Calls that close or reuse descriptors: one of ours may be among them.
//
// A daemon that closes everything, or a dup2 onto a number that we happen to hold, must neither
// meet our descriptor nor make us use what the program opens there next.
// Room: libmesh. Thread rule: any thread, and inside signal handlers.
#include <linux/close_range.h>
#include <unistd.h>

#include <climits>

#include "src/libmesh/export.h"
#include "src/libmesh/real.h"
#include "src/runtime/hooks.h"

using mesh::CallReal;
using mesh::ClosingScope;
using mesh::RealId;

namespace {

// What dup2 closes.
class Target : ClosingScope {
 public:
  Target(int from, int to)
      : ClosingScope(from == to || to < 0 ? 1u : static_cast<unsigned int>(to),
                     from == to || to < 0 ? 0u : static_cast<unsigned int>(to)) {}
};

}  // namespace

MESH_EXPORT int close(int descriptor) {
  Target target(-1, descriptor);
  return CallReal<decltype(close)>(RealId::close, descriptor);
}

MESH_EXPORT int close_range(unsigned int first, unsigned int last, int flags) noexcept {
  const bool closes = (flags & CLOSE_RANGE_CLOEXEC) == 0;
  ClosingScope range(closes ? first : 1, closes ? last : 0);
  return CallReal<decltype(close_range)>(RealId::close_range, first, last, flags);
}

MESH_EXPORT void closefrom(int first) noexcept {
  ClosingScope range(first > 0 ? static_cast<unsigned int>(first) : 0, UINT_MAX);
  using CloseFrom = void(int);
  auto* real = reinterpret_cast<CloseFrom*>(mesh::FindReal(RealId::closefrom));
  if (real != nullptr) real(first);
}

MESH_EXPORT int dup2(int from, int to) noexcept {
  Target target(from, to);
  return CallReal<decltype(dup2)>(RealId::dup2, from, to);
}

MESH_EXPORT int dup3(int from, int to, int flags) noexcept {
  Target target(from, to);
  return CallReal<decltype(dup3)>(RealId::dup3, from, to, flags);
}
