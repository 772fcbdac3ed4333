// Threads that wait for others, and what their heaps hold meanwhile.
//
//   rests --kept [--threads=N]
//       Threads allocate, free all of it and wait. Ends when the spans that they have kept are
//       gone; with 1 when they are still there after a minute.
//   rests --inside [--rounds=N] [--threads=N] [--seed=N]
//       Threads allocate and free without a pause, while signals come whose handlers sleep, at any
//       point of that, and the main thread compacts, for which their heaps are emptied.
//   rests [--rounds=N] [--threads=N] [--seed=N]
//       Threads allocate and wait a little in turn, in every kind of wait, while signals whose
//       handlers use the heap come at any point of that, and the main thread compacts and forks.
//       Every byte of every object is looked at.
//
// Exits with 0, silently, if all went well.
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <sys/wait.h>
#include <time.h>

#include <array>
#include <atomic>
#include <condition_variable>
#include <mutex>
#include <random>
#include <thread>
#include <vector>

#include "test/programs/check.h"
#include "test/programs/mesh_control.h"
#include "test/programs/number_options.h"

namespace {

constexpr std::array<std::size_t, 10> kSizes = {16,  40,   64,   100,  200,
                                                500, 1000, 2000, 4000, 12'000};

// An object whose bytes all say the same.
class Object {
 public:
  void Make(std::size_t size) {
    bytes_ = static_cast<unsigned char*>(std::malloc(size));
    REQUIRE(bytes_ != nullptr);
    size_ = size;
    std::memset(bytes_, Mark(), size);
  }
  void End() {
    if (bytes_ == nullptr) return;
    for (std::size_t i = 0; i < size_; ++i) REQUIRE(bytes_[i] == Mark());
    std::free(bytes_);
    bytes_ = nullptr;
  }

 private:
  int Mark() const { return static_cast<int>(reinterpret_cast<std::uintptr_t>(bytes_) >> 4 & 255); }

  unsigned char* bytes_ = nullptr;
  std::size_t size_ = 0;
};

// ---- --kept ----

constexpr int kKeptOfEach = 400;

class Keepers {
 public:
  explicit Keepers(std::uint64_t count) {
    for (std::uint64_t i = 0; i < count; ++i) threads_.emplace_back([this] { Run(); });
    std::unique_lock guard(lock_);
    news_.wait(guard, [&] { return waiting_ == count; });
  }
  ~Keepers() {
    {
      std::unique_lock guard(lock_);
      is_over_ = true;
    }
    news_.notify_all();
    for (std::thread& thread : threads_) thread.join();
  }
  Keepers(const Keepers&) = delete;
  Keepers& operator=(const Keepers&) = delete;

 private:
  void Run() {
    {
      std::vector<Object> objects(kSizes.size() * kKeptOfEach);
      for (std::size_t i = 0; i < objects.size(); ++i) objects[i].Make(kSizes[i % kSizes.size()]);
      for (Object& object : objects) object.End();
    }
    std::unique_lock guard(lock_);
    waiting_++;
    news_.notify_all();
    news_.wait(guard, [&] { return is_over_; });
  }

  std::mutex lock_;
  std::condition_variable news_;
  std::uint64_t waiting_ = 0;
  bool is_over_ = false;
  std::vector<std::thread> threads_;
};

int RunKept(std::uint64_t thread_count) {
  // What a thread has in its vectors: 32 KiB of some sizes, less of others.
  constexpr std::size_t kKeptByEach = 100 << 10;
  const MeshControl mesh;
  const std::size_t before = mesh.Number("stats.active");
  const Keepers keepers(thread_count);
  const std::size_t kept = mesh.Number("stats.active") - before;
  REQUIRE(kept >= thread_count * kKeptByEach);
  for (int i = 0; i < 600; ++i) {
    // No allocation: nothing but the wait shows that they rest.
    // A slot of each size stays, which may be in use by an interrupted call.
    if (mesh.Number("stats.active") - before < kept / 2) return 0;
    usleep(100'000);
  }
  std::fprintf(stderr, "of %zu bytes %zu are still there\n", kept,
               mesh.Number("stats.active") - before);
  return 1;
}

// ---- without --kept ----

// What the handler makes and ends: its thread's alone.
thread_local Object of_handler;
std::atomic<std::uint64_t> handled = 0;

void OnSignal(int) {
  const int saved = errno;
  of_handler.End();
  of_handler.Make(kSizes[handled++ % kSizes.size()]);
  errno = saved;
}

timespec Soon(clockid_t clock) {
  timespec time;
  clock_gettime(clock, &time);
  time.tv_nsec += 200'000;
  if (time.tv_nsec >= 1'000'000'000) {
    time.tv_nsec -= 1'000'000'000;
    time.tv_sec++;
  }
  return time;
}

void WaitInSomeWay(std::uint64_t way) {
  pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
  pthread_cond_t condition = PTHREAD_COND_INITIALIZER;
  sem_t semaphore;
  const timespec until = Soon(CLOCK_REALTIME);
  const timespec monotonic = Soon(CLOCK_MONOTONIC);
  pthread_mutex_lock(&mutex);
  switch (way % 6) {
    case 0:
      pthread_cond_timedwait(&condition, &mutex, &until);
      break;
    case 1:
      pthread_cond_clockwait(&condition, &mutex, CLOCK_MONOTONIC, &monotonic);
      break;
    case 2:
      sem_init(&semaphore, 0, 0);
      sem_timedwait(&semaphore, &until);
      break;
    case 3:
      poll(nullptr, 0, 1);
      break;
    case 4:
      usleep(200);
      break;
    default:
      std::thread([] {}).join();
  }
  pthread_mutex_unlock(&mutex);
}

// Signals may come from before the wait until after it, but never into malloc itself.
void Work(std::uint64_t seed, std::uint64_t rounds) {
  std::mt19937_64 draw(seed);
  std::vector<Object> objects(300);
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGUSR1);
  for (std::uint64_t round = 0; round < rounds; ++round) {
    for (int i = 0; i < 100; ++i) {
      Object& object = objects[draw() % objects.size()];
      object.End();
      object.Make(kSizes[draw() % kSizes.size()]);
    }
    const std::uint64_t way = draw();
    const bool may_come = way % 6 != 5;  // a thread is made by malloc
    if (may_come) pthread_sigmask(SIG_UNBLOCK, &signals, nullptr);
    WaitInSomeWay(way);
    pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  }
  for (Object& object : objects) object.End();
  of_handler.End();
}

void ForkOnce() {
  const pid_t child = fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    std::array<Object, 100> objects;
    for (Object& object : objects) object.Make(64);
    for (Object& object : objects) object.End();
    _exit(0);
  }
  int status = -1;
  REQUIRE(waitpid(child, &status, 0) == child && status == 0);
}

// ---- --inside ----

void SleepOnSignal(int) {
  const int saved = errno;
  handled++;
  usleep(2'000);
  errno = saved;
}

// Objects of few sizes, so that most calls find slots at hand.
void WorkOn(std::uint64_t seed, std::uint64_t rounds) {
  std::mt19937_64 draw(seed);
  std::array<Object, 64> objects;
  const std::uint64_t wanted = handled + rounds;
  while (handled < wanted) {
    Object& object = objects[draw() % objects.size()];
    object.End();
    object.Make(kSizes[draw() % 2]);
  }
  for (Object& object : objects) object.End();
}

int RunStorm(std::uint64_t thread_count, std::uint64_t rounds, std::uint64_t seed, bool inside) {
  const MeshControl mesh;
  struct sigaction action = {};
  action.sa_handler = inside ? SleepOnSignal : OnSignal;
  sigaction(SIGUSR1, &action, nullptr);
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGUSR1);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  std::atomic<std::uint64_t> at_work = thread_count;
  std::vector<std::thread> threads;
  for (std::uint64_t i = 0; i < thread_count; ++i) {
    threads.emplace_back([&, i] {
      if (inside) pthread_sigmask(SIG_UNBLOCK, &signals, nullptr);
      (inside ? WorkOn : Work)(seed + i, rounds);
      at_work--;
    });
  }
  // Threads that have ended are not joined yet: a signal to them is lost, and no more.
  for (std::uint64_t i = 0; at_work > 0; ++i) {
    for (std::thread& thread : threads) pthread_kill(thread.native_handle(), SIGUSR1);
    if (inside) usleep(500);  // they sleep now
    if (inside || i % 4 == 0) mesh.Compact();
    if (i % 16 == 0) ForkOnce();
    usleep(inside ? 3'000 : 100);
  }
  for (std::thread& thread : threads) thread.join();
  REQUIRE(handled > 0);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  std::uint64_t kept = 0;
  std::uint64_t inside = 0;
  std::uint64_t threads = 4;
  std::uint64_t rounds = 400;
  std::uint64_t seed = 1;
  const NumberOption options[] = {{"--kept", &kept, 0, 1, true},
                                  {"--inside", &inside, 0, 1, true},
                                  {"--threads", &threads, 1, 64},
                                  {"--rounds", &rounds, 1, 1'000'000},
                                  {"--seed", &seed, 0, UINT64_MAX}};
  ParseNumberOptions(argc, argv, options);
  return kept != 0 ? RunKept(threads) : RunStorm(threads, rounds, seed, inside != 0);
}
