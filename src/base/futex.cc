// See futex.h.
#include "src/base/futex.h"

#include <linux/futex.h>
#include <sys/syscall.h>

#include "src/base/units.h"

namespace mesh {
namespace {

// struct timespec as the kernel of a 64-bit machine has it.
struct KernelTime {
  int64_t seconds;
  int64_t nanoseconds;
};

void RawFutex(std::atomic<uint32_t>& word, int operation, uint32_t value,
              const KernelTime* longest = nullptr) {
#if defined(__x86_64__)
  long number = SYS_futex;
  register const KernelTime* timeout asm("r10") = longest;
  asm volatile("syscall"
               : "+a"(number)
               : "D"(&word), "S"(operation), "d"(value), "r"(timeout)
               : "rcx", "r11", "memory");
#elif defined(__aarch64__)
  register long number asm("x8") = SYS_futex;
  register std::atomic<uint32_t>* address asm("x0") = &word;
  register long x1 asm("x1") = operation;
  register long x2 asm("x2") = value;
  register const KernelTime* x3 asm("x3") = longest;
  asm volatile("svc 0" : "+r"(address) : "r"(number), "r"(x1), "r"(x2), "r"(x3) : "memory");
#else
#error "Mesh runs on x86-64 and aarch64"
#endif
}

}  // namespace

void FutexWait(std::atomic<uint32_t>& word, uint32_t expected) {
  RawFutex(word, FUTEX_WAIT | FUTEX_PRIVATE_FLAG, expected);
}

void FutexWaitFor(std::atomic<uint32_t>& word, uint32_t expected, uint64_t ns) {
  const KernelTime longest = {static_cast<int64_t>(ns / kNsPerSecond),
                              static_cast<int64_t>(ns % kNsPerSecond)};
  RawFutex(word, FUTEX_WAIT | FUTEX_PRIVATE_FLAG, expected, &longest);
}

void FutexWake(std::atomic<uint32_t>& word, int count) {
  RawFutex(word, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, static_cast<uint32_t>(count));
}

}  // namespace mesh
