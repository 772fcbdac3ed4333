// See fault_injector.h.
#include "test/os/fault_injector.h"

#include "src/base/check.h"

namespace mesh::os {
namespace {

std::atomic<FaultInjector*> installed{nullptr};

}  // namespace

int LikelyError(Call call) {
  switch (call) {
    case Call::kMemoryFile:
    case Call::kMembarrier:
    case Call::kClone:
    case Call::kUserfaultfdOpen:
      return EPERM;
    case Call::kTruncate:
      return ENOSPC;
    case Call::kDescriptor:
    case Call::kOpen:
      return EMFILE;
    case Call::kStat:
    case Call::kClose:
      return EBADF;
    case Call::kRead:
    case Call::kWrite:
      return EIO;
    case Call::kRelease:
    case Call::kAdvise:
    case Call::kSignalMask:
    case Call::kSignalAction:
    case Call::kSignalSend:
    case Call::kUserfaultfdHandshake:
    case Call::kUserfaultfdUnregister:
    case Call::kUserfaultfdWake:
      return EINVAL;
    case Call::kPunchHole:
    case Call::kRandom:
      return ENOSYS;
    case Call::kUserfaultfdRegister:
      return EBUSY;
    case Call::kUserfaultfdWriteProtect:
      return ENOENT;
    default:
      return ENOMEM;
  }
}

FaultInjector::FaultInjector() {
  MESH_CHECK(installed.exchange(this) == nullptr);
  fault_hook.store(&Hook);
}

FaultInjector::~FaultInjector() {
  fault_hook.store(nullptr);
  installed.store(nullptr);
}

void FaultInjector::Refuse(Call call, int error, int64_t nth, int64_t times) {
  kinds_[static_cast<int>(call)].Set(error, nth, times);
}

void FaultInjector::RefuseAny(int error, int64_t nth, int64_t times) {
  any_.Set(error, nth, times);
}

void FaultInjector::Reset() {
  for (Rule& rule : kinds_) rule.Clear();
  any_.Clear();
  refused_ = 0;
}

int FaultInjector::Hook(Call call) {
  FaultInjector* self = installed.load();
  if (self == nullptr) return 0;
  const int by_any = self->is_spared_[static_cast<int>(call)] ? 0 : self->any_.Next();
  const int by_kind = self->kinds_[static_cast<int>(call)].Next();
  const int error = by_kind != 0 ? by_kind : by_any;
  if (error != 0) self->refused_++;
  return error;
}

int FaultInjector::Rule::Next() {
  const int64_t number = ++count;
  return number >= first && number < end ? error.load() : 0;
}

void FaultInjector::Rule::Set(int with_error, int64_t nth, int64_t times) {
  error = with_error;
  const int64_t from = count + nth;
  first = from;
  end = times > kForever - from ? kForever : from + times;
}

void FaultInjector::Rule::Clear() {
  end = 0;
  first = 0;
  count = 0;
}

}  // namespace mesh::os
