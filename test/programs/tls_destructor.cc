// Destructors of thread-local objects, C++ ones and pthread keys over several rounds, allocate and
// free after the thread's own function has returned, possibly after the allocator's own clean-up.
#include <pthread.h>

#include <string>
#include <thread>
#include <vector>

#include "test/programs/check.h"

namespace {

pthread_key_t key;
int destroyed = 0;

struct Late {
  std::vector<std::string> names;
  ~Late() {
    std::vector<std::string> more(100, std::string(100, 'x'));
    names.insert(names.end(), more.begin(), more.end());
    REQUIRE(names.back().size() == 100);
    __atomic_fetch_add(&destroyed, 1, __ATOMIC_RELAXED);
  }
};

thread_local Late late;

// Sets its own key again until PTHREAD_DESTRUCTOR_ITERATIONS is used up: the last rounds run after
// every other key of the process.
void Again(void* object) {
  free(object);
  pthread_setspecific(key, malloc(200));
}

void Work() {
  late.names.emplace_back(50, 'y');
  pthread_setspecific(key, malloc(100));
}

}  // namespace

int main() {
  REQUIRE(pthread_key_create(&key, Again) == 0);
  constexpr int kThreads = 64;
  std::vector<std::thread> threads;
  for (int i = 0; i < kThreads; ++i) threads.emplace_back(Work);
  for (std::thread& thread : threads) thread.join();
  REQUIRE(destroyed == kThreads);
  return 0;
}
