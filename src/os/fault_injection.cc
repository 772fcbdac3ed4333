// See fault_injection.h.
#include "src/os/fault_injection.h"

namespace mesh::os {

std::atomic<FaultHook> fault_hook{nullptr};

const char* CallName(Call call) {
  static constexpr const char* kNames[] = {
#define MESH_OS_NAME(name, text) text,
      MESH_OS_CALLS(MESH_OS_NAME)
#undef MESH_OS_NAME
  };
  return kNames[static_cast<int>(call)];
}

}  // namespace mesh::os
