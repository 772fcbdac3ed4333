// See loan.h.
#include "src/libmesh/loan.h"

#include <sys/syscall.h>

#include <cerrno>
#include <climits>

#include "src/os/raw_syscall.h"

namespace mesh {
namespace {

// Asked by a call that reads 8 bytes and then finds that it does not know what to do.
bool CanReadWord(uintptr_t address) {
  constexpr long kNoSuchOperation = -1;
  return os::RawSyscall(SYS_rt_sigprocmask, kNoSuchOperation, static_cast<long>(address), 0,
                        sizeof(uint64_t)) != -EFAULT;
}

}  // namespace

// Page by page. What is asked for here is a few hundred bytes long as a rule.
bool Loan::CanRead(const void* start, size_t length) {
  if (length < sizeof(uint64_t)) return false;
  const uintptr_t first = reinterpret_cast<uintptr_t>(start);
  const uintptr_t last = first + length - sizeof(uint64_t);
  if (last < first) return false;
  for (uintptr_t at = first; at < last; at = (at | (kPageSize - 1)) + 1) {
    if (!CanReadWord(at)) return false;
  }
  return CanReadWord(last);
}

Loan& Loan::Bytes(const void* address, size_t length) {
  if (length == 0 || !MayBeMeshed(address)) return *this;
  if (count_ == kMaxPieces) return Everything();
  pieces_[count_++] = {reinterpret_cast<uintptr_t>(address),
                       length < kPageSize ? length : kPageSize};
  return *this;
}

void Loan::Lend() {
  if (count_ == 0) return;
  publication_ = PublishBuffers({pieces_, count_});
  is_lent_ = true;
}

Loan& Loan::Everything() {
  pieces_[0] = {0, SIZE_MAX};
  count_ = 1;
  return *this;
}

Loan& Loan::Parts(const struct iovec* parts, size_t count) {
  if (count > IOV_MAX || !CanRead(parts, count * sizeof(*parts))) return *this;
  for (size_t i = 0; i < count; i++) Bytes(parts[i].iov_base, parts[i].iov_len);
  return *this;
}

Loan& Loan::PartsOf(const struct msghdr& message) {
  return Bytes(message.msg_name, message.msg_namelen)
      .Bytes(message.msg_control, message.msg_controllen)
      .Parts(message.msg_iov, message.msg_iovlen);
}

Loan& Loan::Message(const struct msghdr* message) {
  if (!CanRead(message, sizeof(*message))) return *this;
  return Object(message).PartsOf(*message);
}

Loan& Loan::Messages(const struct mmsghdr* messages, size_t count) {
  // The kernel looks at no more than that either.
  if (count > IOV_MAX) count = IOV_MAX;
  if (!CanRead(messages, count * sizeof(*messages))) return *this;
  Bytes(messages, count * sizeof(*messages));
  for (size_t i = 0; i < count; i++) PartsOf(messages[i].msg_hdr);
  return *this;
}

Loan& Loan::Files(const fd_set* files, int count) {
  if (count <= 0) return *this;
  return Bytes(files, RoundUp(static_cast<size_t>(count), NFDBITS) / CHAR_BIT);
}

}  // namespace mesh
