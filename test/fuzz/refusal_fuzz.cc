// The same as heap_fuzz, while the kernel refuses system calls of the input's choice.
#include "test/fuzz/heap_sequence.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  mesh::PlayHeapSequence("refusal_fuzz", data, size, true);
  return 0;
}
