// See check.h.
#include "src/base/check.h"

#include <cstdint>
#include <cstdlib>

#include "src/base/writer.h"

namespace mesh {

void Fatal(const char* message) {
  LineWriter line;
  line.Text("mesh: ").Text(message).Text("\n");
  line.FlushTo(2);
  abort();
}

void FatalAt(const char* message, const void* address) {
  LineWriter line;
  line.Text("mesh: ").Text(message).Text(": ").Hex(reinterpret_cast<uintptr_t>(address)).Text("\n");
  line.FlushTo(2);
  abort();
}

}  // namespace mesh
