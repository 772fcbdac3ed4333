// Tests of the fault gate: names, counting, and that a refused call never reaches the kernel.
#include "src/os/fault_injection.h"

#include <gtest/gtest.h>

#include <cstring>
#include <set>
#include <string>

#include "src/base/units.h"
#include "src/os/memory.h"
#include "test/os/fault_injector.h"

namespace mesh::os {
namespace {

TEST(FaultInjection, EveryKindHasAnUnmistakableName) {
  std::set<std::string> names;
  for (int i = 0; i < kCallKinds; i++) names.insert(CallName(static_cast<Call>(i)));
  EXPECT_EQ(names.size(), static_cast<size_t>(kCallKinds));
  EXPECT_STREQ(CallName(Call::kReserve), "reserve");
  EXPECT_STREQ(CallName(Call::kUserfaultfdWake), "userfaultfd wake");
}

TEST(FaultInjection, NthCallOfAKindFails) {
  FaultInjector injector;
  injector.Refuse(Call::kMapAnonymous, ENOMEM, 2, 2);
  int errors[4];
  for (int& error : errors) {
    Result<uintptr_t> page = MapAnonymous(kPageSize);
    error = page.error;
    if (page.ok()) {
      EXPECT_TRUE(Unmap(page.value, kPageSize).ok());
    }
  }
  EXPECT_EQ(errors[0], 0);
  EXPECT_EQ(errors[1], ENOMEM);
  EXPECT_EQ(errors[2], ENOMEM);
  EXPECT_EQ(errors[3], 0);
  EXPECT_EQ(injector.count(Call::kMapAnonymous), 4);
  EXPECT_EQ(injector.count(Call::kUnmap), 2);
  EXPECT_EQ(injector.refused(), 2);
}

TEST(FaultInjection, NthCallOfAnyKindFails) {
  FaultInjector injector;
  Result<uintptr_t> page = MapAnonymous(kPageSize);
  ASSERT_TRUE(page.ok());
  injector.RefuseAny(EPERM, 2);
  EXPECT_TRUE(Protect(page.value, kPageSize, Protection::kRead).ok());
  EXPECT_EQ(Unmap(page.value, kPageSize).error, EPERM);
  EXPECT_EQ(*reinterpret_cast<volatile char*>(page.value), 0);  // still mapped
  EXPECT_TRUE(Unmap(page.value, kPageSize).ok());
}

TEST(FaultInjection, ErrnoStaysUntouched) {
  errno = 77;
  EXPECT_FALSE(Unmap(1, kPageSize).ok());
  EXPECT_EQ(errno, 77);
}

}  // namespace
}  // namespace mesh::os
