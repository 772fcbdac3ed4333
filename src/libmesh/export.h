// MESH_EXPORT: what leaves the library. tools/exported_names.txt lists the same names; the linker
// hides what is not there, and the exported-names check finds what is not here.
//
// Room: libmesh.
#pragma once

#define MESH_EXPORT extern "C" __attribute__((visibility("default")))
