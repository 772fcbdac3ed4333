// Real: the libc function behind one that libmesh interposes.
//
// Calling libc's own function, and not the kernel, keeps what it adds: cancellation points, errno,
// time conversion. All are looked up when the library is loaded, because dlsym takes the loader's
// lock and may allocate, and several of these functions may be called from a signal handler. A call
// before that (another library's constructor cannot come first, an ifunc resolver can) looks its
// own function up.
// Room: libmesh. Thread rule: any thread.
#pragma once

#include <atomic>
#include <cerrno>
#include <cstddef>

namespace mesh {

enum class RealId : size_t {
#define MESH_REAL(name) name,
#include "src/libmesh/real.def"
#undef MESH_REAL
  kCount,
};

// The function's address, or null if this libc has none (it is older than our headers).
void* FindReal(RealId id);

// Looks all of them up.
void FindAllReal();

// Calls the real function as `Function`; without one it fails with ENOSYS.
template <typename Function, typename... Args>
auto CallReal(RealId id, Args... args) {
  using Result = decltype(static_cast<Function*>(nullptr)(args...));
  auto* real = reinterpret_cast<Function*>(FindReal(id));
  if (__builtin_expect(real == nullptr, 0)) {
    errno = ENOSYS;
    return static_cast<Result>(-1);
  }
  return real(args...);
}

}  // namespace mesh
