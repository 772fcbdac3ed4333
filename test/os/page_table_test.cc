// Tests of PageTable: stores to a private file mapping are seen, reads are not.
#include "src/os/page_table.h"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include "src/base/units.h"
#include "test/os/fault_injector.h"

namespace mesh::os {
namespace {

TEST(PageTable, TellsCopiesFromViews) {
  int file = memfd_create("page_table_test", MFD_CLOEXEC);
  ASSERT_EQ(ftruncate(file, 4 * kPageSize), 0);
  void* place = mmap(nullptr, 4 * kPageSize, PROT_READ | PROT_WRITE, MAP_PRIVATE, file, 0);
  ASSERT_NE(place, MAP_FAILED);
  auto* bytes = static_cast<volatile char*>(place);
  uintptr_t address = reinterpret_cast<uintptr_t>(place);
  PageTable table;
  ASSERT_TRUE(table.Open().ok());
  EXPECT_EQ(table.CopiedPages(address, 4 * kPageSize).value, 0u);
  static_cast<void>(bytes[0]);
  EXPECT_EQ(table.CopiedPages(address, 4 * kPageSize).value, 0u);
  bytes[kPageSize] = 1;
  bytes[3 * kPageSize] = 1;
  Result<size_t> copied = table.CopiedPages(address, 4 * kPageSize);
  ASSERT_TRUE(copied.ok());
  EXPECT_EQ(copied.value, 2u);
  EXPECT_EQ(table.CopiedPages(address + 2 * kPageSize, kPageSize).value, 0u);
  munmap(place, 4 * kPageSize);
  close(file);
}

TEST(PageTable, SaysWhatWasRefused) {
  FaultInjector injector;
  injector.Refuse(Call::kOpen, EACCES);
  PageTable refused;
  EXPECT_EQ(refused.Open().error, EACCES);
  PageTable table;
  ASSERT_TRUE(table.Open().ok());
  injector.Refuse(Call::kRead, EIO);
  EXPECT_EQ(table.CopiedPages(0x10000, kPageSize).error, EIO);
}

}  // namespace
}  // namespace mesh::os
