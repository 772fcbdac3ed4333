// Calls of many kinds under one name, whose last argument may be a number or a pointer.
//
// What the kernel stores through a pointer that it finds in a structure is not known here, so these
// lend all memory while they are in the kernel: they are short, as a rule.
// Room: libmesh. Thread rule: any thread; fcntl and ioctl also inside signal handlers.
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/sem.h>
#include <sys/syscall.h>

#include <cstdarg>

#include "src/base/check.h"
#include "src/libmesh/export.h"
#include "src/libmesh/filter_rule.h"
#include "src/libmesh/loan.h"
#include "src/libmesh/real.h"
#include "src/runtime/hooks.h"

namespace mesh {
namespace {

// The argument behind the named ones. It may not have been passed; then nobody looks at it.
#define MESH_LAST_ARGUMENT(named)       \
  va_list more;                         \
  va_start(more, named);                \
  void* argument = va_arg(more, void*); \
  va_end(more)

// Numbers lie below the first page that a process may map, as a rule; no harm if not.
bool IsPointer(const void* argument) { return reinterpret_cast<uintptr_t>(argument) >= kPageSize; }

bool StoresLock(int command) {
  return command == F_GETLK || command == F_OFD_GETLK || command == F_GETOWN_EX ||
         command == F_GET_RW_HINT || command == F_GET_FILE_RW_HINT;
}

template <typename Function>
int Control(RealId id, int file, int command, void* argument) {
  Loan loan;
  if (IsPublishing() && StoresLock(command)) loan.Unknown(argument);
  loan.Lend();
  return RealFunction<Function>(id)(file, command, argument);
}

}  // namespace
}  // namespace mesh

using mesh::IsPointer;
using mesh::IsPublishing;
using mesh::Loan;
using mesh::RealFunction;
using mesh::RealId;

MESH_EXPORT int fcntl(int file, int command, ...) {
  MESH_LAST_ARGUMENT(command);
  return mesh::Control<decltype(fcntl)>(RealId::fcntl, file, command, argument);
}

MESH_EXPORT int fcntl64(int file, int command, ...) {
  MESH_LAST_ARGUMENT(command);
  return mesh::Control<decltype(fcntl64)>(RealId::fcntl64, file, command, argument);
}

MESH_EXPORT int ioctl(int file, unsigned long request, ...) noexcept {
  MESH_LAST_ARGUMENT(request);
  Loan loan;
  if (IsPublishing() && IsPointer(argument)) loan.Everything();
  loan.Lend();
  return RealFunction<int(int, unsigned long, ...)>(RealId::ioctl)(file, request, argument);
}

MESH_EXPORT int prctl(int operation, ...) noexcept {
  va_list more;
  va_start(more, operation);
  long arguments[4];
  for (long& argument : arguments) argument = va_arg(more, long);
  va_end(more);
  mesh::NoteFilter(SYS_prctl, operation, arguments[0], arguments[1]);
  Loan loan;
  if (IsPublishing()) loan.Everything();
  loan.Lend();
  return RealFunction<int(int, ...)>(RealId::prctl)(operation, arguments[0], arguments[1],
                                                    arguments[2], arguments[3]);
}

MESH_EXPORT long ptrace(enum __ptrace_request request, ...) noexcept {
  va_list more;
// The type is glibc's; in C the enumeration is an int, and needs no promotion.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wvarargs"
  va_start(more, request);
#pragma GCC diagnostic pop
  // PTRACE_PEEKSIGINFO and the like take the fourth through libc as well.
  long arguments[4];
  for (long& argument : arguments) argument = va_arg(more, long);
  va_end(more);
  Loan loan;
  if (IsPublishing()) loan.Everything();
  loan.Lend();
  return RealFunction<long(enum __ptrace_request, ...)>(RealId::ptrace)(
      request, arguments[0], arguments[1], arguments[2], arguments[3]);
}

MESH_EXPORT int semctl(int set, int number, int command, ...) noexcept {
  MESH_LAST_ARGUMENT(command);
  Loan loan;
  if (IsPublishing()) loan.Everything();
  loan.Lend();
  return RealFunction<int(int, int, int, ...)>(RealId::semctl)(set, number, command, argument);
}
