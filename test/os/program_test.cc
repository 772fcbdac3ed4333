// Tests of program.h: this test program is the program.
#include "src/os/program.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdint>

namespace mesh::os {
namespace {

void CallGetppid() { ASSERT_GT(getppid(), 0); }

TEST(ProgramImports, FindsWhatThisProgramCalls) {
  // getppid is called here and nowhere in GoogleTest; a static build has no table to look in.
  CallGetppid();
  Imports calls = ProgramImports("getppid");
  if (calls == Imports::kUnknown) GTEST_SKIP() << "linked statically";
  EXPECT_EQ(calls, Imports::kYes);
}

TEST(ProgramImports, DoesNotFindOthers) {
  EXPECT_NE(ProgramImports("no_such_function_anywhere"), Imports::kYes);
  EXPECT_NE(ProgramImports(""), Imports::kYes);
}

int in_program;

TEST(Program, KnowsItsOwnMemory) {
  auto code = reinterpret_cast<uintptr_t>(&CallGetppid);
  EXPECT_TRUE(IsInProgram(code));
  EXPECT_TRUE(IsInProgram(reinterpret_cast<uintptr_t>(&in_program)));
  int on_stack = 0;
  EXPECT_FALSE(IsInProgram(reinterpret_cast<uintptr_t>(&on_stack)));
  EXPECT_FALSE(IsInProgram(reinterpret_cast<uintptr_t>(stdout)));
  EXPECT_FALSE(IsInProgram(0));
  EXPECT_LT(reinterpret_cast<uintptr_t>(&on_stack), MainStackEnd());
}

}  // namespace
}  // namespace mesh::os
