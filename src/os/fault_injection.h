// The gate that every system call of Mesh passes, so that tests can count calls and refuse some.
//
// In production the hook is null: one relaxed load and a branch that is predicted, in front of a
// system call. test/os/fault_injector.h is the hook that tests install.
// Room: os. Thread rule: any thread; a hook must stand being called by several at once.
#pragma once

#include <atomic>
#include <cstdint>

namespace mesh::os {

// What a call is for: finer than its system call number, so that a test can refuse "the alias" and
// not "the second mremap". One line per kind: enumerator, name in reports.
#define MESH_OS_CALLS(X)                                   \
  X(kReserve, "reserve")                                   \
  X(kCommit, "commit")                                     \
  X(kDecommit, "decommit")                                 \
  X(kMapAnonymous, "map anonymous")                        \
  X(kMapPrivateFixed, "map private fixed")                 \
  X(kMapSharedAnonymous, "map shared anonymous")           \
  X(kMapFileShared, "map file shared")                     \
  X(kMapFilePrivate, "map file private")                   \
  X(kUnmap, "unmap")                                       \
  X(kRelease, "release")                                   \
  X(kPunchHole, "punch hole")                              \
  X(kPopulate, "populate")                                 \
  X(kAdvise, "advise")                                     \
  X(kAlias, "alias")                                       \
  X(kRemap, "remap")                                       \
  X(kAskMapping, "ask mapping")                            \
  X(kProtect, "protect")                                   \
  X(kUnprotect, "unprotect")                               \
  X(kGuard, "guard")                                       \
  X(kUnguard, "unguard")                                   \
  X(kResident, "resident")                                 \
  X(kMemoryFile, "memory file")                            \
  X(kTruncate, "truncate")                                 \
  X(kStat, "stat")                                         \
  X(kDescriptor, "descriptor")                             \
  X(kClose, "close")                                       \
  X(kOpen, "open")                                         \
  X(kRead, "read")                                         \
  X(kWrite, "write")                                       \
  X(kLimit, "limit")                                       \
  X(kUsage, "usage")                                       \
  X(kRandom, "random")                                     \
  X(kMembarrier, "membarrier")                             \
  X(kSignalMask, "signal mask")                            \
  X(kSignalAction, "signal action")                        \
  X(kSignalSend, "signal send")                            \
  X(kClone, "clone")                                       \
  X(kUserfaultfdOpen, "userfaultfd open")                  \
  X(kUserfaultfdHandshake, "userfaultfd handshake")        \
  X(kUserfaultfdRegister, "userfaultfd register")          \
  X(kUserfaultfdUnregister, "userfaultfd unregister")      \
  X(kUserfaultfdWriteProtect, "userfaultfd write protect") \
  X(kUserfaultfdWake, "userfaultfd wake")

enum class Call : uint8_t {
#define MESH_OS_ENUMERATOR(name, text) name,
  MESH_OS_CALLS(MESH_OS_ENUMERATOR)
#undef MESH_OS_ENUMERATOR
};

#define MESH_OS_COUNT(name, text) +1
inline constexpr int kCallKinds = 0 MESH_OS_CALLS(MESH_OS_COUNT);
#undef MESH_OS_COUNT

const char* CallName(Call call);

// Asked before each call: 0 lets it through, another value is the errno to refuse it with. The
// kernel then does not see the call.
using FaultHook = int (*)(Call call);

extern std::atomic<FaultHook> fault_hook;

inline int InjectedFault(Call call) {
  // order: relaxed; tests install the hook before they start the threads that it shall see.
  FaultHook hook = fault_hook.load(std::memory_order_relaxed);
  return __builtin_expect(hook != nullptr, 0) ? hook(call) : 0;
}

}  // namespace mesh::os
