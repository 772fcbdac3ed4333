// Signal dispositions and masks: the write barrier's last tier has a SIGSEGV handler, of which the
// program must not notice anything (meshing/segv_handler.h).
//
// Left alone: sigset, sigblock and their kin, which are obsolete; the masks of sigsuspend, ppoll
// and the like. Room: libmesh. Thread rule: any thread, and inside signal handlers.
#include <signal.h>

#include "src/base/check.h"
#include "src/libmesh/export.h"
#include "src/libmesh/loan.h"
#include "src/libmesh/real.h"
#include "src/runtime/hooks.h"

namespace mesh {
namespace {

int Sigaction(int number, const struct sigaction* wanted, struct sigaction* before) {
  auto* libcs =
      RealFunction<int(int, const struct sigaction*, struct sigaction*)>(RealId::sigaction);
  if (MESH_LIKELY(!IsPublishing())) return libcs(number, wanted, before);
  return ProgramSigaction(libcs, number, wanted, before);
}

// signal() for SIGSEGV; `flags` and `masked` say of which family.
sighandler_t SetSegv(sighandler_t handler, int flags, bool masked) {
  struct sigaction wanted = {};
  struct sigaction before = {};
  wanted.sa_handler = handler;
  wanted.sa_flags = flags;
  if (masked) sigaddset(&wanted.sa_mask, SIGSEGV);
  return Sigaction(SIGSEGV, &wanted, &before) == 0 ? before.sa_handler : SIG_ERR;
}

bool Concerns(int number, sighandler_t handler) {
  return number == SIGSEGV && handler != SIG_ERR && IsPublishing();
}

sighandler_t BsdSignal(int number, sighandler_t handler) {
  if (Concerns(number, handler)) return SetSegv(handler, SA_RESTART, true);
  return CallReal<sighandler_t(int, sighandler_t)>(RealId::signal, number, handler);
}

sighandler_t SystemVSignal(int number, sighandler_t handler) {
  if (Concerns(number, handler)) {
    return SetSegv(handler, static_cast<int>(SA_RESETHAND | SA_NODEFER), false);
  }
  return CallReal<sighandler_t(int, sighandler_t)>(RealId::__sysv_signal, number, handler);
}

int ChangeMask(RealId id, int how, const sigset_t* mask, sigset_t* before) {
  auto* libcs = RealFunction<int(int, const sigset_t*, sigset_t*)>(id);
  if (MESH_LIKELY(!IsPublishing())) return libcs(how, mask, before);
  const bool may_block = mask != nullptr && how != SIG_UNBLOCK && sigismember(mask, SIGSEGV) == 1;
  int result;
  {
    Loan loan;
    loan.Object(before);
    loan.Lend();
    result = libcs(how, mask, before);
  }
  if (may_block) SegvBlocked();
  return result;
}

}  // namespace
}  // namespace mesh

using mesh::RealId;

MESH_EXPORT int sigaction(int number, const struct sigaction* wanted,
                          struct sigaction* before) noexcept {
  return mesh::Sigaction(number, wanted, before);
}

MESH_EXPORT int __sigaction(int number, const struct sigaction* wanted,
                            struct sigaction* before) noexcept {
  return mesh::Sigaction(number, wanted, before);
}

MESH_EXPORT sighandler_t signal(int number, sighandler_t handler) noexcept {
  return mesh::BsdSignal(number, handler);
}

MESH_EXPORT sighandler_t bsd_signal(int number, sighandler_t handler) noexcept {
  return mesh::BsdSignal(number, handler);
}

MESH_EXPORT sighandler_t ssignal(int number, sighandler_t handler) noexcept {
  return mesh::BsdSignal(number, handler);
}

MESH_EXPORT sighandler_t sysv_signal(int number, sighandler_t handler) noexcept {
  return mesh::SystemVSignal(number, handler);
}

MESH_EXPORT sighandler_t __sysv_signal(int number, sighandler_t handler) noexcept {
  return mesh::SystemVSignal(number, handler);
}

MESH_EXPORT int sigprocmask(int how, const sigset_t* mask, sigset_t* before) noexcept {
  return mesh::ChangeMask(RealId::sigprocmask, how, mask, before);
}

MESH_EXPORT int pthread_sigmask(int how, const sigset_t* mask, sigset_t* before) noexcept {
  return mesh::ChangeMask(RealId::pthread_sigmask, how, mask, before);
}
