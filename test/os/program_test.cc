// Tests of ProgramImports: this test program is the program.
#include "src/os/program.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

namespace mesh::os {
namespace {

TEST(ProgramImports, FindsWhatThisProgramCalls) {
  // getppid is called here and nowhere in GoogleTest; a static build has no table to look in.
  ASSERT_GT(getppid(), 0);
  Imports calls = ProgramImports("getppid");
  if (calls == Imports::kUnknown) GTEST_SKIP() << "linked statically";
  EXPECT_EQ(calls, Imports::kYes);
}

TEST(ProgramImports, DoesNotFindOthers) {
  EXPECT_NE(ProgramImports("no_such_function_anywhere"), Imports::kYes);
  EXPECT_NE(ProgramImports(""), Imports::kYes);
}

}  // namespace
}  // namespace mesh::os
