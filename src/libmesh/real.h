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
#include <type_traits>

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

// Stands in for a function that this libc does not have.
template <typename Function>
struct NoSuchFunction;
template <typename Result, bool kNoexcept, typename... Args>
struct NoSuchFunction<Result(Args...) noexcept(kNoexcept)> {
  static Result Call(Args...) noexcept {
    errno = ENOSYS;
    if constexpr (std::is_pointer_v<Result>) return nullptr;
    if constexpr (std::is_arithmetic_v<Result>) return static_cast<Result>(-1);
  }
};
template <typename Result, bool kNoexcept, typename... Args>
struct NoSuchFunction<Result(Args..., ...) noexcept(kNoexcept)> {
  static Result Call(Args..., ...) noexcept {
    errno = ENOSYS;
    return static_cast<Result>(-1);
  }
};

// The real function. Without one, what is returned fails with ENOSYS.
template <typename Function>
Function* RealFunction(RealId id) {
  auto* real = reinterpret_cast<Function*>(FindReal(id));
  return __builtin_expect(real != nullptr, 1) ? real : NoSuchFunction<Function>::Call;
}

// Calls it.
template <typename Function, typename... Args>
auto CallReal(RealId id, Args... args) {
  return RealFunction<Function>(id)(args...);
}

}  // namespace mesh
