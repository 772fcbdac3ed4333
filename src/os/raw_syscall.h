// System calls by one instruction: errno stays untouched and no libc function is entered.
//
// libmesh interposes read, close, dup2, sigaction and others; calling libc from inside the
// allocator would come back to itself. Only gated_call.h and the pieces that cannot go through its
// gate (a child that shares our memory) include this file.
// Room: os. Thread rule: any thread, also inside a signal handler.
#pragma once

namespace mesh::os {

// The kernel's own answer: -4095 to -1 is a negated errno value.
#if defined(__x86_64__)
inline long RawSyscall(long number, long a = 0, long b = 0, long c = 0, long d = 0, long e = 0,
                       long f = 0) {
  register long r10 asm("r10") = d;
  register long r8 asm("r8") = e;
  register long r9 asm("r9") = f;
  long result = number;
  asm volatile("syscall"
               : "+a"(result)
               : "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
               : "rcx", "r11", "memory");
  return result;
}
#elif defined(__aarch64__)
inline long RawSyscall(long number, long a = 0, long b = 0, long c = 0, long d = 0, long e = 0,
                       long f = 0) {
  register long x8 asm("x8") = number;
  register long x0 asm("x0") = a;
  register long x1 asm("x1") = b;
  register long x2 asm("x2") = c;
  register long x3 asm("x3") = d;
  register long x4 asm("x4") = e;
  register long x5 asm("x5") = f;
  asm volatile("svc #0"
               : "+r"(x0)
               : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5)
               : "memory");
  return x0;
}
#else
#error "Mesh runs on x86-64 and aarch64"
#endif

inline bool IsRawError(long result) { return result < 0 && result >= -4095; }

}  // namespace mesh::os
