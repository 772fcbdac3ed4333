// The names of malloc.h that report or advise: mallinfo, mallopt, malloc_trim, malloc_stats,
// malloc_info. The conversions are in mallinfo.h.
//
// Room: libmesh. Thread rule: any thread, not inside signal handlers.
#include <malloc.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>

#include "src/control/report.h"
#include "src/libmesh/export.h"
#include "src/libmesh/mallinfo.h"
#include "src/runtime/heap.h"
#include "src/runtime/program_hooks.h"

namespace mesh {
namespace {

void Collect(Statistics* statistics) {
  const ControlTarget& control = ProcessControl();
  control.collect(control.context, statistics);
}

void WriteToFile(void* context, std::string_view text) {
  fwrite(text.data(), 1, text.size(), static_cast<FILE*>(context));
}

}  // namespace

}  // namespace mesh

using mesh::Statistics;

MESH_EXPORT struct mallinfo2 mallinfo2() noexcept {
  Statistics statistics;
  mesh::Collect(&statistics);
  return mesh::ToMallinfo2(statistics);
}

MESH_EXPORT struct mallinfo mallinfo() noexcept {
  Statistics statistics;
  mesh::Collect(&statistics);
  return mesh::ToMallinfo(statistics);
}

// 1 for success, as in glibc.
MESH_EXPORT int mallopt(int parameter, int) noexcept {
  return mesh::IsMalloptParameter(parameter) ? 1 : 0;
}

// 1 if memory went back to the kernel. `pad`, memory to keep at the top of a heap, has no meaning
// without one.
MESH_EXPORT int malloc_trim(size_t) noexcept {
  const mesh::ControlTarget& control = mesh::ProcessControl();
  size_t meshed = control.compact(control.context);
  size_t freed = control.scavenge(control.context);
  return meshed != 0 || freed != 0 ? 1 : 0;
}

MESH_EXPORT void malloc_stats() noexcept {
  Statistics statistics;
  mesh::Collect(&statistics);
  int descriptor = STDERR_FILENO;
  mesh::WriteMallocStats(statistics, mesh::OutputSink(&descriptor));
}

// Returns EINVAL for an option, of which there are none, as glibc does.
MESH_EXPORT int malloc_info(int options, FILE* file) noexcept {
  if (options != 0) return EINVAL;
  Statistics statistics;
  mesh::Collect(&statistics);
  mesh::WriteMallocInfo(statistics, {mesh::WriteToFile, file});
  return 0;
}
