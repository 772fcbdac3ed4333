// Loan: the memory that one call of libc lends to the kernel, from Lend() to the end of its life.
//
// Only memory that may be meshed counts; all else drops out at the price of two loads. An object
// that is meshed is smaller than a page, so no more than a page from its start is ever lent: the
// length that a call gives may be too long, and often is only a bound.
// Room: libmesh. Thread rule: the calling thread, also inside signal handlers; on its stack.
//
// [L1] Nothing that a call points to is read before the kernel has said that it can be: a bad
//      pointer ends in EFAULT, as without us.
#pragma once

#include <sys/select.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <cstddef>
#include <cstdint>

#include "src/base/units.h"
#include "src/meshing/range.h"
#include "src/runtime/hooks.h"

namespace mesh {

class Loan {
 public:
  // More pieces than this make all memory.
  static constexpr size_t kMaxPieces = 8;

  Loan() {}
  ~Loan() {
    if (is_lent_) WithdrawBuffers(publication_);
  }
  Loan(const Loan&) = delete;
  Loan& operator=(const Loan&) = delete;

  Loan& Bytes(const void* address, size_t length);
  template <typename T>
  Loan& Object(const T* object) {
    return Bytes(object, sizeof(T));
  }
  // Of a length that is not known.
  Loan& Unknown(const void* address) { return Bytes(address, kPageSize); }
  // What libc is to fill, or to allocate.
  Loan& PathOrAny(const void* path) { return path != nullptr ? Unknown(path) : Everything(); }
  Loan& Parts(const struct iovec* parts, size_t count);
  Loan& Address(const struct sockaddr* address, const socklen_t* size) {
    return Bytes(address, sizeof(struct sockaddr_storage)).Object(size);
  }
  Loan& Message(const struct msghdr* message);
  Loan& Messages(const struct mmsghdr* messages, size_t count);
  Loan& Files(const fd_set* files, int count);
  Loan& Everything();
  Loan& Nothing() { return *this; }

  // Whether the kernel can read all of it. [L1]
  static bool CanRead(const void* start, size_t length);

  // Publishes all of it, once. A cancelled call, or one that a signal handler leaves by longjmp,
  // does not come back: what it has lent stays out of meshing until the thread ends.
  void Lend();

 private:
  Loan& PartsOf(const struct msghdr& message);

  bool is_lent_ = false;
  uint32_t count_ = 0;
  Publication publication_;
  // Not cleared: calls are many, and few of them lend anything.
  union {
    Range pieces_[kMaxPieces];
  };
};

}  // namespace mesh
