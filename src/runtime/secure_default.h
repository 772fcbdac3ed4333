// The level of hardening where MESH_SECURE says none: 0, unless a flavour of the library defines it
// (src/libmesh/secure_by_default.cc).
//
// Room: runtime. Thread rule: any thread.
#pragma once

namespace mesh {

int DefaultSecureLevel();

}  // namespace mesh
