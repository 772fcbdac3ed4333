// The record that recorder.cc writes and python/mesh_tools/trace.py reads: one call, 32 bytes.
#ifndef TEST_BENCH_TRACE_H_
#define TEST_BENCH_TRACE_H_

#include <cstdint>

namespace trace {

// `a` and `b` are what the call was given, `result` what it returned:
//   'm' malloc(a)   'c' calloc(a bytes in all)   'l' memalign(a, b)   'r' realloc(a, b)   'f'
//   free(a)
struct Record {
  std::uint64_t call;
  std::uint64_t a;
  std::uint64_t b;
  std::uint64_t result;
};
static_assert(sizeof(Record) == 32);

}  // namespace trace

#endif  // TEST_BENCH_TRACE_H_
