// Tests of when a thread that is about to sleep works.
#include <gtest/gtest.h>

#include "src/runtime/pacing.h"
#include "src/runtime/runtime.h"

namespace mesh {
namespace {

// However much was done beside the program before: rests are for while it is busy.
TEST(IdleWork, IsDueSoonInAProgramThatSleeps) {
  Runtime& runtime = Runtime::Get();
  for (int i = 0; i < 1000; i++) runtime.OnSlowPath();
  ASSERT_FALSE(runtime.background().is_running());
  EXPECT_LE(runtime.IdleWorkIn(0), Pacer::kWindowNs);
  EXPECT_EQ(runtime.IdleWorkIn(Pacer::kWindowNs), 0u);
}

TEST(IdleWork, IsNotRepeatedWithoutNews) {
  Runtime& runtime = Runtime::Get();
  runtime.OnSlowPath();
  while (runtime.IdleSlice(false)) {
  }
  runtime.FlushOwnHeap(ThreadLocalHeap::Flushing::kAll);
  while (runtime.IdleSlice(true)) {
  }
  EXPECT_EQ(runtime.IdleWorkIn(Pacer::kWindowNs), Runtime::kNoIdleWork);
}

}  // namespace
}  // namespace mesh
