// Tests of DescriptorGate: who waits for whom, and who does not.
#include "src/os/descriptor_gate.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <thread>

#include "src/os/file.h"
#include "src/os/process.h"

namespace mesh::os {
namespace {

TEST(DescriptorGate, NothingIsOpenedWhileTheProgramCloses) {
  DescriptorGate::Enter();
  DescriptorGate::Enter();
  OpeningScope scope;
  EXPECT_EQ(scope.Begin().error, EBUSY);
  DescriptorGate::Leave();
  char text[16];
  EXPECT_EQ(ReadSmallFile("/proc/sys/kernel/ostype", text).error, EBUSY);
  MemoryFile file;
  EXPECT_EQ(file.Create().error, EBUSY);
  EXPECT_FALSE(file.is_open());
  DescriptorGate::Leave();
  EXPECT_TRUE(ReadSmallFile("/proc/sys/kernel/ostype", text).ok());
  EXPECT_TRUE(file.Create().ok());
  file.Close();
}

TEST(DescriptorGate, ClosersWaitForAllWhoOpen) {
  std::atomic<int> opening{0};
  std::atomic<bool> stop{false};
  auto open = [&] {
    for (int i = 0; i < 2000; i++) {
      OpeningScope outer;
      OpeningScope inner;
      if (!outer.Begin().ok() || !inner.Begin().ok()) continue;
      opening++;
      opening--;
    }
  };
  auto close = [&] {
    while (!stop) {
      DescriptorGate::Enter();
      EXPECT_EQ(opening, 0);
      DescriptorGate::Leave();
    }
  };
  std::thread closers[] = {std::thread(close), std::thread(close)};
  std::thread openers[] = {std::thread(open), std::thread(open)};
  for (std::thread& thread : openers) thread.join();
  stop = true;
  for (std::thread& thread : closers) thread.join();
  EXPECT_TRUE(DescriptorGate::TryBeginOpening());
  DescriptorGate::EndOpening();
}

TEST(DescriptorGate, AnotherProcessLeavesItAlone) {
  DescriptorGate::StartIn(ProcessId() + 1);
  EXPECT_FALSE(DescriptorGate::IsOwn());
  DescriptorGate::Enter();
  OpeningScope scope;
  EXPECT_TRUE(scope.Begin().ok());
  DescriptorGate::StartIn(ProcessId());
  EXPECT_TRUE(DescriptorGate::IsOwn());
  OpeningScope own;
  EXPECT_TRUE(own.Begin().ok()) << "nobody is in it at the start";
}

}  // namespace
}  // namespace mesh::os
