// See quarantine.h.
#include "src/local/quarantine.h"

#include <new>

namespace mesh {

Quarantine* Quarantine::Create(void* memory, uint32_t slots, size_t bytes) {
  MESH_CHECK(slots <= kMostSlots && (slots & (slots - 1)) == 0);
  auto* quarantine = new (memory) Quarantine();
  quarantine->most_slots_ = slots;
  quarantine->most_bytes_ = static_cast<int64_t>(bytes);
  quarantine->set_room(quarantine->most_bytes_);
  return quarantine;
}

}  // namespace mesh
