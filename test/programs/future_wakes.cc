// std::future, whose state lies in small heap objects and on whose futexes libstdc++ waits without
// the PRIVATE flag: each waiting thread gets its value, although the state was meshed meanwhile.
#include <unistd.h>

#include <future>
#include <memory>
#include <thread>
#include <vector>

#include "test/programs/check.h"

namespace {

constexpr int kWaiters = 12;
constexpr int kRounds = 5;
constexpr int kPromises = 8000;

void Round() {
  std::vector<std::unique_ptr<std::promise<int>>> promises;
  for (int i = 0; i < kPromises; ++i) promises.push_back(std::make_unique<std::promise<int>>());
  for (int i = 0; i < kPromises; ++i) {
    if (i % 10 != 0) promises[i].reset();
  }
  std::vector<std::thread> waiters;
  for (int k = 0; k < kWaiters; ++k) {
    waiters.emplace_back(
        [k, future = promises[k * 600]->get_future()]() mutable { REQUIRE(future.get() == k); });
  }
  usleep(20000);
  // A thread that is being made holds a pass up.
  const std::size_t before = StatisticIfMesh("stats.mesh_count");
  int passes = 0;
  for (; HasMesh() && StatisticIfMesh("stats.mesh_count") == before; ++passes) {
    REQUIRE(passes < 100);
    CompactIfMesh();
    usleep(1000);
  }
  for (int k = 0; k < kWaiters; ++k) promises[k * 600]->set_value(k);
  for (std::thread& waiter : waiters) waiter.join();
}

}  // namespace

int main() {
  for (int round = 0; round < kRounds; ++round) Round();
}
