// The functions of mesh/mesh.h that read the allocator and steer it.
#include <gtest/gtest.h>

#include <cerrno>
#include <cstring>
#include <vector>

#include "src/libmesh/mesh/mesh.h"

namespace {

mesh_process_info_t Info() {
  mesh_process_info_t info;
  EXPECT_EQ(mesh_process_info(&info, sizeof(info)), 0);
  return info;
}

TEST(Process, InfoFollowsTheProgram) {
  mesh_process_info_t before = Info();
  constexpr size_t kBytes = 48 << 20;
  void* object = mesh_malloc(kBytes);
  memset(object, 1, kBytes);
  mesh_process_info_t during = Info();
  EXPECT_GE(during.live_bytes, before.live_bytes + kBytes);
  EXPECT_GE(during.physical_bytes, before.physical_bytes + kBytes / 2);
  EXPECT_GE(during.peak_resident_bytes, kBytes);
  EXPECT_GT(during.minor_faults, before.minor_faults);
  EXPECT_GE(during.major_faults, before.major_faults);
  EXPECT_GE(during.user_ns + during.system_ns, before.user_ns + before.system_ns);
  EXPECT_GT(during.elapsed_ns, before.elapsed_ns);
  mesh_free(object);
  mesh_collect(false);
  mesh_process_info_t after = Info();
  EXPECT_LE(after.live_bytes, during.live_bytes - kBytes);
  EXPECT_LE(after.physical_bytes, during.physical_bytes - kBytes / 2);
  EXPECT_GE(after.peak_resident_bytes, during.peak_resident_bytes);
}

TEST(Process, InfoIsOfOneSize) {
  mesh_process_info_t info;
  errno = 77;
  EXPECT_EQ(mesh_process_info(nullptr, sizeof(info)), EINVAL);
  EXPECT_EQ(mesh_process_info(&info, sizeof(info) - 1), EINVAL);
  EXPECT_EQ(mesh_process_info(&info, 0), EINVAL);
  EXPECT_EQ(errno, 77);
}

TEST(Process, CollectMeshesIfForced) {
  std::vector<void*> kept;
  std::vector<void*> freed;
  for (int i = 0; i < 200'000; i++) {
    void* object = mesh_malloc(64);
    memset(object, 1, 64);
    (i % 10 == 0 ? kept : freed).push_back(object);
  }
  for (void* object : freed) mesh_free(object);
  size_t before = Info().physical_bytes;
  errno = 77;
  size_t bytes = mesh_collect(true);
  EXPECT_EQ(errno, 77);
  // Where the kernel lets nobody mesh, nothing is gained.
  size_t meshed = 0;
  size_t length = sizeof(meshed);
  ASSERT_EQ(mesh_mallctl("stats.mesh_count", &meshed, &length, nullptr, 0), 0);
  if (meshed > 0) {
    EXPECT_GT(bytes, size_t{2} << 20);
    EXPECT_LT(Info().physical_bytes, before);
  }
  for (void* object : kept) mesh_free(object);
}

TEST(Process, MallctlReads) {
  size_t value = 0;
  size_t length = sizeof(value);
  EXPECT_EQ(mesh_mallctl("stats.allocated", &value, &length, nullptr, 0), 0);
  EXPECT_EQ(mesh_mallctl("no.such.key", &value, &length, nullptr, 0), ENOENT);
}

TEST(Process, TheVersionIsThatOfTheHeader) { EXPECT_STREQ(mesh_version(), MESH_VERSION_STRING); }

}  // namespace
