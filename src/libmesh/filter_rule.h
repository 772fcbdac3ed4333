// Which calls put the program under a seccomp filter.
//
// Room: libmesh. Thread rule: any thread.
#pragma once

#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "src/runtime/hooks.h"

namespace mesh {

// What takes rights away from the calling thread alone.
inline bool IsForOneThread(long operation) {
  return operation == PR_SET_NO_NEW_PRIVS || operation == PR_CAPBSET_DROP ||
         operation == PR_SET_SECUREBITS || operation == PR_CAP_AMBIENT;
}

// Tells runtime, before the kernel sees it, of prctl(a, b, c) or seccomp(a, b, c), by number.
inline void NoteFilter(long number, long a, long b, long c) {
  if (number == SYS_prctl && IsForOneThread(a)) BeforeSoleThreadCall();
  const bool is_prctl = number == SYS_prctl && a == PR_SET_SECCOMP;
  const bool is_seccomp = number == SYS_seccomp;
  const bool filters =
      (is_prctl && b == SECCOMP_MODE_FILTER) || (is_seccomp && a == SECCOMP_SET_MODE_FILTER);
  const bool is_strict =
      (is_prctl && b == SECCOMP_MODE_STRICT) || (is_seccomp && a == SECCOMP_SET_MODE_STRICT);
  // By a null filter programs ask whether the kernel knows filters.
  if (filters && c != 0) FilterComing(reinterpret_cast<const void*>(c));
  if (is_strict) FilterComing(nullptr);
}

}  // namespace mesh
