// Ways to make a process that copies the memory, or that shares it without being a thread.
//
// fork() runs the handlers that runtime registered; it is here because it can fail before these
// run, and not any more in them. daemon and forkpty call libc's fork past us. vfork, posix_spawn
// and clone with CLONE_VM share the heap with the parent, which is safe: nothing is copied. Room:
// libmesh. Thread rule: any thread; _Fork also inside signal handlers.
#include <sched.h>
#include <unistd.h>

#include <cerrno>
#include <cstdarg>

#include "src/libmesh/export.h"
#include "src/libmesh/fork_flags.h"
#include "src/libmesh/real.h"
#include "src/runtime/hooks.h"

using mesh::CallReal;
using mesh::RealId;

namespace mesh {
namespace {

constexpr pid_t kNoChild = -1;

pid_t Refuse() {
  errno = ENOMEM;
  return kNoChild;
}

// What the child of clone() starts with. It lies on the parent's stack, of which the child has a
// copy.
struct ChildStart {
  int (*function)(void*);
  void* argument;
};

int StartChild(void* start) {
  AfterForkChild();
  ChildStart* child = static_cast<ChildStart*>(start);
  return child->function(child->argument);
}

}  // namespace
}  // namespace mesh

MESH_EXPORT pid_t fork() noexcept {
  mesh::ForkPermit permit = mesh::BeforeFork();
  if (permit == mesh::ForkPermit::kRefused) return mesh::Refuse();
  pid_t child = CallReal<decltype(fork)>(RealId::fork);
  if (child != 0) mesh::AfterFork(permit);
  return child;
}

MESH_EXPORT pid_t _Fork() noexcept {
  if (!mesh::BeforeForkRaw()) return mesh::Refuse();
  pid_t child = CallReal<decltype(_Fork)>(RealId::_Fork);
  if (child == 0) {
    mesh::AfterForkChild();
  } else {
    mesh::AfterForkParent();
  }
  return child;
}

MESH_EXPORT int clone(int (*function)(void*), void* stack, int flags, void* argument,
                      ...) noexcept {
  // Fewer may have been passed; what is not meant is not looked at by the kernel either.
  va_list more;
  va_start(more, argument);
  pid_t* parent_tid = va_arg(more, pid_t*);
  void* tls = va_arg(more, void*);
  pid_t* child_tid = va_arg(more, pid_t*);
  va_end(more);
  using Clone = int(int (*)(void*), void*, int, void*, pid_t*, void*, pid_t*);

  mesh::ForkKind kind = mesh::ForkKindOf(static_cast<unsigned int>(flags));
  if (kind == mesh::ForkKind::kSharesMemory) mesh::AddressSpaceShared();
  if (kind != mesh::ForkKind::kCopiesMemory || function == nullptr) {
    return CallReal<Clone>(RealId::clone, function, stack, flags, argument, parent_tid, tls,
                           child_tid);
  }
  mesh::ChildStart start = {function, argument};
  if (!mesh::BeforeForkRaw()) return mesh::Refuse();
  int child = CallReal<Clone>(RealId::clone, mesh::StartChild, stack, flags,
                              static_cast<void*>(&start), parent_tid, tls, child_tid);
  mesh::AfterForkParent();
  return child;
}
