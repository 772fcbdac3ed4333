// What the shared library does first: finds libc's own functions, and says whether the program's
// calls really come by here.
//
// They do not when the library is loaded by dlopen, or when another library stands in front with
// functions of its own; nor did they all where we are a part of the program, behind libraries that
// have made threads. Then the barrier's lower tiers are out of reach, and nothing else changes.
// Room: libmesh. Thread rule: the loader's thread.
#include <dlfcn.h>
#include <link.h>
#include <sys/auxv.h>

#include <cstring>

#include "src/libmesh/file_buffer.h"
#include "src/libmesh/real.h"
#include "src/os/process.h"
#include "src/runtime/hooks.h"

namespace mesh {
namespace {

// Some of those that libraries like to stand in front of.
constexpr const char* kWitnesses[] = {"read", "recvmsg", "poll", "sigaction", "syscall"};

// Whether a call may be in progress that did not come by here. libmesh.so is there before all other
// libraries; the program's own constructors run after theirs.
bool HasEarlierThreads(const void* own_base) {
  // The program's headers are on its first page.
  constexpr uintptr_t kFirstPage = 4096;
  const uintptr_t headers = getauxval(AT_PHDR);
  if (headers - reinterpret_cast<uintptr_t>(own_base) >= kFirstPage) return false;
  os::Result<size_t> threads = os::ThreadCount();
  return !threads.ok() || threads.value != 1;
}

bool IsInForce() {
  Dl_info own;
  if (dladdr(reinterpret_cast<void*>(&IsInForce), &own) == 0) return false;
  if (HasEarlierThreads(own.dli_fbase)) return false;
  for (const char* name : kWitnesses) {
    Dl_info first;
    if (dladdr(dlsym(RTLD_DEFAULT, name), &first) == 0) return false;
    if (first.dli_fbase != own.dli_fbase) return false;
  }
  return true;
}

// Whether a library is libaio, which enters the kernel by instructions of its own and has no
// descriptor to be told by. dlopen with RTLD_NOLOAD would search the file system first.
int IsLibaio(struct dl_phdr_info* library, size_t, void*) {
  constexpr char kName[] = "/libaio.so";
  const char* path = library->dlpi_name;
  return path != nullptr && strstr(path, kName) != nullptr ? 1 : 0;
}

void FindFileBufferCode() {
  // Longer than the function is in any libc; what may be behind it loses nothing by the mistake.
  constexpr size_t kMostBytes = 512;
  void* function = dlsym(RTLD_NEXT, "_IO_file_doallocate");
  if (function != nullptr) file_buffer_code = {reinterpret_cast<uintptr_t>(function), kMostBytes};
}

__attribute__((constructor(101))) void AtLoad() {
  FindAllReal();
  FindFileBufferCode();
  // Before a thread of our own comes.
  const bool is_in_force = IsInForce();
  ProgramBegins(RealFunction<ThreadCreator>(RealId::pthread_create));
  if (!is_in_force) return;
  InterpositionInForce();
  if (dl_iterate_phdr(IsLibaio, nullptr) != 0) AddressSpaceShared();
}

}  // namespace
}  // namespace mesh
