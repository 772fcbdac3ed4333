// See file_buffer.h.
#include "src/libmesh/file_buffer.h"

namespace mesh {

constinit CodeRange file_buffer_code;

}  // namespace mesh
