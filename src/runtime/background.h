// BackgroundThread: the one thread of the library's own, and when there is one.
//
// It does the passes and the page return that threads of the program do otherwise. It sleeps on a
// futex until there is something to do, without a wake-up while the program leaves the allocator
// alone.
// Room: runtime. Thread rule: Start(), Stop() and CreateThread() by any thread that holds no lock
// of the heap; NoteActivity() by any.
//
// [BG1] It exists only beside threads that the program has made (or if it was asked for), and ends
//       with the last of them: libc ends the process when its last thread does, and counts ours.
// [BG2] It runs none of the program's code: all signals are blocked but the two that libc sends to
//       every thread (cancellation, and setuid in all threads), it has no thread-local destructors,
//       and allocates nothing.
// [BG3] After Stop() the kernel does not know it any more: the process counts as single-threaded.
// [BG4] In a fork's child there is none. The next thread that the child makes brings one.
#pragma once

#include <pthread.h>

#include <atomic>
#include <cstdint>

#include "src/base/mutex.h"
#include "src/runtime/hooks.h"
#include "src/runtime/pacing.h"

namespace mesh {

class BackgroundThread {
 public:
  // What it does, and knows of the program: functions, called with `context`.
  struct Job {
    void* context;
    Pacer::Settings (*settings)(void* context);
    uint64_t (*activity)(void* context);
    // Works for about `length_ns`.
    Pacer::Outcome (*turn)(void* context, uint64_t length_ns, bool is_quiet);
    // Whether something waits that no pace holds up, and what does it.
    bool (*is_urgent)(void* context);
    void (*work_urgently)(void* context);
  };

  constexpr BackgroundThread() = default;
  BackgroundThread(const BackgroundThread&) = delete;
  BackgroundThread& operator=(const BackgroundThread&) = delete;

  // Before first use.
  void Init(const Job& job) { job_ = job; }

  // Makes the thread by libc's pthread_create, unless it is there. Returns: whether it is. A
  // refusal is nobody's business: threads of the program do the work.
  bool Start(ThreadCreator* libcs);
  // Ends it and waits until it is gone. [BG3]
  void Stop();
  void AfterForkInChild();

  bool is_running() const {
    // order: relaxed; who is mistaken does work twice, or leaves it to the next.
    return state_.load(std::memory_order_relaxed) != State::kAbsent;
  }

  // The program has used the allocator, and Job::activity() shows it.
  void NoteActivity(bool is_urgent) {
    // order: seq_cst; so is the change of activity(): either the thread sees that before it sleeps,
    // or we see that it sleeps.
    uint32_t state = state_.load(std::memory_order_seq_cst);
    if (state == State::kAsleep || (is_urgent && state == State::kNapping)) Wake(state);
  }

  uint64_t turns() const {
    // order: relaxed; as cpu_ns(), a counter for statistics.
    return turns_.load(std::memory_order_relaxed);
  }
  uint64_t cpu_ns() const { return cpu_ns_.load(std::memory_order_relaxed); }

 private:
  friend struct WindowLayout;  // tells other processes where the figures lie
  struct State {
    static constexpr uint32_t kAbsent = 0;
    static constexpr uint32_t kAwake = 1;
    static constexpr uint32_t kNapping = 2;  // for a time
    static constexpr uint32_t kAsleep = 3;   // until there is activity
    static constexpr uint32_t kStopping = 4;
  };

  static void* Main(void* self);
  int Create(ThreadCreator* libcs);
  void Loop();
  void Turn(Pacer& pacer, const Pacer::Settings& settings, const Pacer::Decision& decision);
  void Rest(const Pacer& pacer, const Pacer::Decision& decision);
  bool Stops() const;
  void Wake(uint32_t state);

  Job job_ = {};
  // Taken to start and to stop; libc's pthread_create and pthread_join are called under it.
  Mutex lock_{LockRank::kBackground};
  pthread_t thread_ GUARDED_BY(lock_) = {};
  int refusals_ GUARDED_BY(lock_) = 0;
  std::atomic<uint32_t> state_{State::kAbsent};  // a futex
  std::atomic<int> thread_id_{0};                // 0 until it runs
  std::atomic<uint64_t> turns_{0};
  std::atomic<uint64_t> cpu_ns_{0};
};

}  // namespace mesh
