// The malloc family, compaction and fork in any order, against the shadow model.
#include "test/fuzz/heap_sequence.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  mesh::PlayHeapSequence("heap_fuzz", data, size, false);
  return 0;
}
