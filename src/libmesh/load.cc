// What the shared library does first: finds libc's own functions, and says whether the program's
// calls really come by here.
//
// They do not when the library is loaded by dlopen, or when another library stands in front with
// functions of its own. Then the barrier's lower tiers are out of reach, and nothing else changes.
// Room: libmesh. Thread rule: the loader's thread.
#include <dlfcn.h>
#include <link.h>

#include "src/libmesh/file_buffer.h"
#include "src/libmesh/real.h"
#include "src/runtime/hooks.h"

namespace mesh {
namespace {

// Some of those that libraries like to stand in front of.
constexpr const char* kWitnesses[] = {"read", "recvmsg", "poll", "sigaction", "syscall"};

bool IsInForce() {
  Dl_info own;
  if (dladdr(reinterpret_cast<void*>(&IsInForce), &own) == 0) return false;
  for (const char* name : kWitnesses) {
    Dl_info first;
    if (dladdr(dlsym(RTLD_DEFAULT, name), &first) == 0) return false;
    if (first.dli_fbase != own.dli_fbase) return false;
  }
  return true;
}

void FindFileBufferCode() {
  void* function = dlsym(RTLD_NEXT, "_IO_file_doallocate");
  if (function == nullptr) return;
  Dl_info info;
  const ElfW(Sym)* symbol = nullptr;
  if (dladdr1(function, &info, reinterpret_cast<void**>(const_cast<ElfW(Sym)**>(&symbol)),
              RTLD_DL_SYMENT) == 0 ||
      symbol == nullptr) {
    return;
  }
  file_buffer_code = {reinterpret_cast<uintptr_t>(function), symbol->st_size};
}

__attribute__((constructor(101))) void AtLoad() {
  FindAllReal();
  FindFileBufferCode();
  if (IsInForce()) InterpositionInForce();
}

}  // namespace
}  // namespace mesh
