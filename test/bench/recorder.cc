// A preloaded library that records every call of malloc's family to the file MESH_TRACE.PID, in the
// order in which the calls happened, and leaves the work to glibc. python/record_trace.py runs a
// program with it. A script that becomes the program by exec has the same PID, and is written over.
// Children of fork are not recorded until they exec.
//
// Thread rule: one lock, held from before a free and from after a malloc to the end of its record,
// so that no address is recorded as handed out again before its free is.
#include <fcntl.h>
#include <sys/types.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>

#include "test/bench/trace.h"

extern "C" {
void* __libc_malloc(std::size_t size);
void* __libc_calloc(std::size_t count, std::size_t size);
void* __libc_realloc(void* object, std::size_t size);
void* __libc_memalign(std::size_t alignment, std::size_t size);
void __libc_free(void* object);
}

namespace {

constexpr std::size_t kBuffered = 4096;

class Recorder {
 public:
  // Runs `call` and records what it returns.
  template <typename F>
  void* Record(char name, std::uint64_t a, std::uint64_t b, const F& call) {
    while (busy_.test_and_set(std::memory_order_acquire)) {  // order: as a lock's.
    }
    void* result = call();
    if (owner_ == 0) owner_ = getpid();
    if (file_ != kClosed && getpid() == owner_) {
      records_[count_++] = {static_cast<std::uint64_t>(name), a, b,
                            reinterpret_cast<std::uintptr_t>(result)};
      if (count_ == kBuffered) Flush();
    }
    busy_.clear(std::memory_order_release);  // order: as a lock's.
    return result;
  }

  // Writes what is buffered; what comes later, from other exit handlers, is lost.
  void Finish() {
    if (file_ != kClosed && getpid() == owner_) Flush();
  }

 private:
  static constexpr int kUnopened = -2;
  static constexpr int kClosed = -1;  // It cannot be written.

  void Flush() {
    const int error = errno;
    if (file_ == kUnopened) {
      const char* prefix = getenv("MESH_TRACE");
      char path[4096];
      std::snprintf(path, sizeof(path), "%s.%d", prefix == nullptr ? "trace" : prefix, getpid());
      file_ = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    }
    const std::size_t bytes = count_ * sizeof(trace::Record);
    if (write(file_, records_.data(), bytes) != static_cast<ssize_t>(bytes)) file_ = kClosed;
    count_ = 0;
    errno = error;
  }

  std::atomic_flag busy_;
  int file_ = kUnopened;
  pid_t owner_ = 0;
  std::size_t count_ = 0;
  std::array<trace::Record, kBuffered> records_{};
};

constinit Recorder g_recorder;

std::uint64_t Address(void* object) { return reinterpret_cast<std::uintptr_t>(object); }

__attribute__((destructor)) void Finish() { g_recorder.Finish(); }

}  // namespace

extern "C" {

void* malloc(std::size_t size) {
  return g_recorder.Record('m', size, 0, [=] { return __libc_malloc(size); });
}

void* calloc(std::size_t count, std::size_t size) {
  return g_recorder.Record('c', count * size, 0, [=] { return __libc_calloc(count, size); });
}

void* realloc(void* object, std::size_t size) {
  return g_recorder.Record('r', Address(object), size,
                           [=] { return __libc_realloc(object, size); });
}

void* memalign(std::size_t alignment, std::size_t size) {
  return g_recorder.Record('l', alignment, size, [=] { return __libc_memalign(alignment, size); });
}

void* aligned_alloc(std::size_t alignment, std::size_t size) { return memalign(alignment, size); }

int posix_memalign(void** result, std::size_t alignment, std::size_t size) {
  void* object = memalign(alignment, size);
  if (object == nullptr) return ENOMEM;
  *result = object;
  return 0;
}

void free(void* object) {
  if (object == nullptr) return;
  g_recorder.Record('f', Address(object), 0, [=] {
    __libc_free(object);
    return nullptr;
  });
}

}  // extern "C"
