// What the situation programs share: REQUIRE, and helpers that keep the compiler from seeing
// through an allocation.  A situation program puts one misuse or one corner of the malloc interface
// in front of whatever allocator is loaded and exits with 0, silently, if all went as POSIX and the
// C and C++ standards say.  The runner, test/integration/situations_test.py, holds the expected
// outcomes.
//
// Plain C, header only, allocates nothing: a broken allocator must not hide its own report.
#ifndef TEST_PROGRAMS_CHECK_H_
#define TEST_PROGRAMS_CHECK_H_

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

// _exit, not exit: the handlers of a program that has already failed would only blur the report.
#define REQUIRE(condition)                                                                      \
  do {                                                                                          \
    if (!(condition)) {                                                                         \
      char text_[256];                                                                          \
      int length_ = snprintf(text_, sizeof text_, "%s:%d: not true: %s (errno %d)\n", __FILE__, \
                             __LINE__, #condition, errno);                                      \
      ssize_t written_ = write(2, text_, (size_t)length_);                                      \
      _exit(written_ > 0 ? 1 : 2);                                                              \
    }                                                                                           \
  } while (0)

// The same size, of which the compiler knows nothing.
static inline size_t Hidden(size_t size) {
  volatile size_t hidden = size;
  return hidden;
}

// The same pointer, of which the compiler no longer knows where it came from.
static inline void* Opaque(const void* pointer) {
  __asm__ volatile("" : "+r"(pointer) : : "memory");
  return (void*)pointer;
}

// Resident memory of a process of ours [bytes], by PSS, so that pages which meshing has made two
// addresses share count once.  Reads through a stack buffer: the figure is not disturbed by being
// taken.
static inline size_t ResidentBytesOf(int process) {
  char text[2048];
  snprintf(text, sizeof text, "/proc/%d/smaps_rollup", process);
  int file = open(text, O_RDONLY | O_CLOEXEC);
  REQUIRE(file >= 0);
  size_t used = 0;
  ssize_t got;
  while (used < sizeof text - 1 && (got = read(file, text + used, sizeof text - 1 - used)) > 0) {
    used += (size_t)got;
  }
  close(file);
  text[used] = '\0';
  const char* line = strstr(text, "\nPss:");
  REQUIRE(line != NULL);
  return (size_t)strtoull(line + 5, NULL, 10) * 1024;
}

static inline size_t ResidentBytes(void) { return ResidentBytesOf((int)getpid()); }

// Asks Mesh for a full compaction now; does nothing under another allocator.  Looked up at run
// time: the program has to start without the library too.
static inline void CompactIfMesh(void) {
  typedef int (*Mallctl)(const char*, void*, size_t*, void*, size_t);
  Mallctl mallctl;
  *(void**)&mallctl = dlsym(RTLD_DEFAULT, "mesh_mallctl");
  if (mallctl != NULL) REQUIRE(mallctl("mesh.compact", NULL, NULL, NULL, 0) == 0);
}

static inline int HasMesh(void) { return dlsym(RTLD_DEFAULT, "mesh_mallctl") != NULL; }

// A figure of Mesh's by its key; 0 under another allocator.
static inline size_t StatisticIfMesh(const char* key) {
  typedef int (*Mallctl)(const char*, void*, size_t*, void*, size_t);
  Mallctl mallctl;
  *(void**)&mallctl = dlsym(RTLD_DEFAULT, "mesh_mallctl");
  size_t value = 0;
  size_t size = sizeof value;
  if (mallctl != NULL) REQUIRE(mallctl(key, &value, &size, NULL, 0) == 0);
  return value;
}

#endif  // TEST_PROGRAMS_CHECK_H_
