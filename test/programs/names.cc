// Calls every name that the library exports once, by its plain symbol, and checks that the object
// is one.  argv[1], if given: part of the file name of the library that has to define each of them.
#include <malloc.h>

#include <initializer_list>

#include "test/programs/check.h"

namespace {

const char* expected_library = nullptr;

// The function `name`, or nullptr where the loaded allocator (glibc lacks a few) has none.
template <typename Function>
Function* Named(const char* name) {
  void* address = dlsym(RTLD_DEFAULT, name);
  if (expected_library != nullptr) {
    Dl_info info;
    const bool is_ours = address != nullptr && dladdr(address, &info) != 0 &&
                         strstr(info.dli_fname, expected_library) != nullptr;
    if (!is_ours) fprintf(stderr, "%s is not defined by %s\n", name, expected_library);
    REQUIRE(is_ours);
  }
  return reinterpret_cast<Function*>(address);
}

using Malloc = void*(size_t);
using Calloc = void*(size_t, size_t);  // Also memalign, aligned_alloc.
using Realloc = void*(void*, size_t);
using Free = void(void*);

void UseAndFree(void* object, const char* free_name = "free") {
  REQUIRE(object != nullptr);
  memset(object, 1, 100);
  if (auto* release = Named<Free>(free_name)) release(object);
}

void Allocating() {
  for (const char* name : {"malloc", "valloc", "pvalloc", "__libc_malloc", "__libc_valloc",
                           "__libc_pvalloc", "_Znwm", "_Znam"}) {
    if (auto* allocate = Named<Malloc>(name)) UseAndFree(allocate(100));
  }
  for (const char* name : {"memalign", "aligned_alloc", "__libc_memalign"}) {
    UseAndFree(Named<Calloc>(name)(128, 128));
  }
  for (const char* name : {"calloc", "__libc_calloc"}) UseAndFree(Named<Calloc>(name)(10, 10));
  for (const char* name : {"realloc", "reallocf", "__libc_realloc"}) {
    if (auto* reallocate = Named<Realloc>(name)) UseAndFree(reallocate(malloc(10), 100));
  }
  UseAndFree(Named<void*(void*, size_t, size_t)>("reallocarray")(malloc(10), 10, 10));
  void* object = nullptr;
  REQUIRE(Named<int(void**, size_t, size_t)>("posix_memalign")(&object, 64, 100) == 0);
  UseAndFree(object);
  char* text = Named<char*(const char*)>("strdup")("copied text");
  REQUIRE(strcmp(text, "copied text") == 0);
  free(text);
  text = Named<char*(const char*, size_t)>("strndup")("copied text", 4);
  REQUIRE(strcmp(text, "copi") == 0);
  free(text);
}

void Freeing() {
  for (const char* name : {"free", "cfree", "__libc_free", "_ZdlPv", "_ZdaPv"}) {
    UseAndFree(malloc(100), name);
  }
  if (auto* release = Named<void(void*, size_t)>("free_sized")) release(malloc(100), 100);
  if (auto* release = Named<void(void*, size_t, size_t)>("free_aligned_sized")) {
    release(aligned_alloc(64, 128), 64, 128);
  }
}

void Reporting() {
  void* object = malloc(100);
  REQUIRE(Named<size_t(void*)>("malloc_usable_size")(object) >= 100);
  free(object);
  Named<int(size_t)>("malloc_trim")(0);
  Named<int(int, int)>("mallopt")(M_MMAP_THRESHOLD, 1 << 20);
  Named<struct mallinfo()>("mallinfo")();
  Named<struct mallinfo2()>("mallinfo2")();
  char* text = nullptr;
  size_t length = 0;
  FILE* stream = open_memstream(&text, &length);
  REQUIRE(Named<int(int, FILE*)>("malloc_info")(0, stream) == 0 && fclose(stream) == 0);
  REQUIRE(strncmp(text, "<malloc", 7) == 0);
  free(text);
  REQUIRE(freopen("/dev/null", "w", stderr) != nullptr);  // malloc_stats writes there by contract.
  Named<void()>("malloc_stats")();
}

}  // namespace

int main(int argc, char** argv) {
  if (argc == 2) expected_library = argv[1];
  Allocating();
  Freeing();
  Reporting();
  return 0;
}
