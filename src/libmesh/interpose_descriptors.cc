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
using mesh::DescriptorsClosing;
using mesh::RealId;

namespace {

void WillClose(int descriptor) {
  if (descriptor < 0) return;
  unsigned int number = static_cast<unsigned int>(descriptor);
  DescriptorsClosing(number, number);
}

}  // namespace

MESH_EXPORT int close(int descriptor) {
  WillClose(descriptor);
  return CallReal<decltype(close)>(RealId::close, descriptor);
}

MESH_EXPORT int close_range(unsigned int first, unsigned int last, int flags) noexcept {
  bool closes = (flags & CLOSE_RANGE_CLOEXEC) == 0;
  if (closes && first <= last) DescriptorsClosing(first, last);
  return CallReal<decltype(close_range)>(RealId::close_range, first, last, flags);
}

MESH_EXPORT void closefrom(int first) noexcept {
  DescriptorsClosing(first > 0 ? static_cast<unsigned int>(first) : 0, UINT_MAX);
  using CloseFrom = void(int);
  auto* real = reinterpret_cast<CloseFrom*>(mesh::FindReal(RealId::closefrom));
  if (real != nullptr) real(first);
}

MESH_EXPORT int dup2(int from, int to) noexcept {
  if (from != to) WillClose(to);
  return CallReal<decltype(dup2)>(RealId::dup2, from, to);
}

MESH_EXPORT int dup3(int from, int to, int flags) noexcept {
  if (from != to) WillClose(to);
  return CallReal<decltype(dup3)>(RealId::dup3, from, to, flags);
}
