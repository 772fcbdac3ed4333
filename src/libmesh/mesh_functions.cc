// The functions of mesh/mesh.h that read the allocator and steer it.
//
// Room: libmesh. Thread rule: any thread, not inside signal handlers.
#include <sys/resource.h>
#include <sys/time.h>

#include <cerrno>
#include <cstring>

#include "src/control/statistics.h"
#include "src/libmesh/export.h"
#include "src/libmesh/mesh/mesh.h"
#include "src/runtime/heap.h"
#include "src/runtime/program_hooks.h"

namespace {

constexpr uint64_t kNsPerMicrosecond = 1000;
constexpr uint64_t kMicrosecondsPerSecond = 1'000'000;

uint64_t Nanoseconds(const timeval& time) {
  uint64_t seconds = static_cast<uint64_t>(time.tv_sec);
  return (seconds * kMicrosecondsPerSecond + static_cast<uint64_t>(time.tv_usec)) *
         kNsPerMicrosecond;
}

void FillFromKernel(mesh_process_info_t* info) {
  rusage usage;
  if (getrusage(RUSAGE_SELF, &usage) != 0) return;
  info->peak_resident_bytes = static_cast<size_t>(usage.ru_maxrss) * 1024;
  info->minor_faults = static_cast<uint64_t>(usage.ru_minflt);
  info->major_faults = static_cast<uint64_t>(usage.ru_majflt);
  info->user_ns = Nanoseconds(usage.ru_utime);
  info->system_ns = Nanoseconds(usage.ru_stime);
}

}  // namespace

MESH_EXPORT size_t mesh_collect(bool force) {
  const mesh::ControlTarget& control = mesh::ProcessControl();
  int saved = errno;
  mesh::RunDeferredFree(force);
  size_t bytes = force ? control.compact(control.context) : control.scavenge(control.context);
  errno = saved;
  return bytes;
}

MESH_EXPORT int mesh_process_info(mesh_process_info_t* info, size_t size) {
  // Later versions may add to its end, and serve callers of this one.
  if (info == nullptr || size != sizeof(*info)) return EINVAL;
  int saved = errno;
  memset(info, 0, sizeof(*info));
  const mesh::ControlTarget& control = mesh::ProcessControl();
  mesh::Statistics statistics;
  control.collect(control.context, &statistics);
  info->live_bytes = statistics.live_bytes;
  info->physical_bytes = statistics.physical_bytes();
  info->elapsed_ns = mesh::UptimeNs();
  FillFromKernel(info);
  errno = saved;
  return 0;
}

MESH_EXPORT void mesh_register_deferred_free(mesh_deferred_free_fun* function, void* argument) {
  mesh::SetDeferredFree(function, argument);
}

MESH_EXPORT void mesh_register_output(mesh_output_fun* function, void* argument) {
  mesh::SetOutput(function, argument);
}

MESH_EXPORT void mesh_register_error(mesh_error_fun* function, void* argument) {
  mesh::SetErrorHook(function, argument);
}

MESH_EXPORT void mesh_register_out_of_memory(mesh_out_of_memory_fun* function, void* argument) {
  mesh::SetOutOfMemory(function, argument);
}

MESH_EXPORT int mesh_mallctl(const char* name, void* oldp, size_t* oldlenp, void* newp,
                             size_t newlen) {
  int saved = errno;
  int error = mesh::Mallctl(mesh::ProcessControl(), name, oldp, oldlenp, newp, newlen);
  errno = saved;
  return error;
}

MESH_EXPORT const char* mesh_version() { return MESH_VERSION_STRING; }
