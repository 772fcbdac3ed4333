// ProgramThreads: how many threads the program has made by libc, so that the background thread does
// not outlive them ([BG1]).
//
// Each of them carries a value of a pthread key, whose destructor counts it down again. To give it
// that value, the function that a thread begins with is wrapped. Who is not counted does no harm:
// the background thread then ends a little early.
// Room: runtime. Thread rule: any thread. Wrapping takes a record of metadata, which is used again.
#pragma once

#include <pthread.h>

#include <atomic>
#include <cstdint>

#include "src/base/mutex.h"

namespace mesh {

class ProgramThreads {
 public:
  // What a new thread is to do.
  struct Start {
    void* (*function)(void*);
    int (*c11_function)(void*);  // instead of it, for thrd_create
    void* argument;
    ProgramThreads* threads;
    Start* next;
  };

  constexpr ProgramThreads() = default;
  ProgramThreads(const ProgramThreads&) = delete;
  ProgramThreads& operator=(const ProgramThreads&) = delete;

  // Before first use. `last_gone` is called by the last thread, at its end.
  void Init(void (*last_gone)());

  // Counts the calling thread, if it is not yet.
  void CountMe();
  uint32_t count() const {
    // order: relaxed; a thread that asks is among them.
    return count_.load(std::memory_order_relaxed);
  }

  // Makes a thread that is counted: create(start) calls libc with Run or RunC11 and `start`; with
  // null it calls libc with what the program gave. Returns what it returns, 0 for success.
  template <typename Create>
  int Make(const Start& wanted, Create create) {
    Start* start = Wrap(wanted);
    int error = create(start);
    if (error != 0 && start != nullptr) Unwrap(start);
    return error;
  }
  static void* Run(void* start);
  static int RunC11(void* start);

  // Of the parent's threads, the calling one is here.
  void AfterForkInChild();

 private:
  static void OnExit(void* self);
  static Start Begin(void* start);
  Start* Wrap(const Start& wanted);
  void Unwrap(Start* start);
  void Give(Start* start);
  void CountDown();

  pthread_key_t key_ = 0;
  bool has_key_ = false;
  void (*last_gone_)() = nullptr;
  std::atomic<uint32_t> count_{0};
  Mutex lock_{LockRank::kThreadStart};
  Start* free_ GUARDED_BY(lock_) = nullptr;
};

}  // namespace mesh
