// See quarantine.h.
#include "src/local/quarantine.h"

#include <new>

namespace mesh {

Quarantine* Quarantine::Create(void* memory, uint32_t slots, size_t bytes) {
  auto* quarantine = new (memory) Quarantine();
  quarantine->most_slots_ = slots;
  quarantine->most_bytes_ = bytes;
  return quarantine;
}

}  // namespace mesh
