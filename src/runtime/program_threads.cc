// See program_threads.h.
#include "src/runtime/program_threads.h"

#include <new>

#include "src/arena/metadata.h"

namespace mesh {

void ProgramThreads::Init(void (*last_gone)()) {
  last_gone_ = last_gone;
  has_key_ = pthread_key_create(&key_, OnExit) == 0;
}

void ProgramThreads::CountMe() {
  if (!has_key_ || pthread_getspecific(key_) != nullptr) return;
  if (pthread_setspecific(key_, this) != 0) return;
  // order: relaxed; see count().
  count_.fetch_add(1, std::memory_order_relaxed);
}

void ProgramThreads::OnExit(void* self) { static_cast<ProgramThreads*>(self)->CountDown(); }

void ProgramThreads::CountDown() {
  // order: acq_rel; who comes to zero has all others' ends behind him.
  if (count_.fetch_sub(1, std::memory_order_acq_rel) == 1) last_gone_();
}

ProgramThreads::Start* ProgramThreads::Wrap(const Start& wanted) {
  if (!has_key_) return nullptr;
  Start* start = nullptr;
  {
    MutexLock lock(lock_);
    start = free_;
    if (start != nullptr) free_ = start->next;
  }
  if (start == nullptr) start = static_cast<Start*>(AllocateMetadata(sizeof(Start)));
  if (start == nullptr) return nullptr;
  *start = wanted;
  start->threads = this;
  // order: relaxed; see count(). Before the thread is made: it may be over before we go on.
  count_.fetch_add(1, std::memory_order_relaxed);
  return start;
}

// The thread was not made.
void ProgramThreads::Unwrap(Start* start) {
  Give(start);
  // order: relaxed; the calling thread is counted, so it is not the last.
  count_.fetch_sub(1, std::memory_order_relaxed);
}

void ProgramThreads::Give(Start* start) {
  MutexLock lock(lock_);
  start->next = free_;
  free_ = start;
}

ProgramThreads::Start ProgramThreads::Begin(void* start) {
  Start mine = *static_cast<Start*>(start);
  mine.threads->Give(static_cast<Start*>(start));
  if (pthread_setspecific(mine.threads->key_, mine.threads) != 0) mine.threads->CountDown();
  return mine;
}

void* ProgramThreads::Run(void* start) {
  Start mine = Begin(start);
  return mine.function(mine.argument);
}

int ProgramThreads::RunC11(void* start) {
  Start mine = Begin(start);
  return mine.c11_function(mine.argument);
}

void ProgramThreads::AfterForkInChild() {
  new (&lock_) Mutex(LockRank::kThreadStart);
  bool is_counted = has_key_ && pthread_getspecific(key_) != nullptr;
  // order: relaxed; the child has one thread.
  count_.store(is_counted ? 1 : 0, std::memory_order_relaxed);
}

}  // namespace mesh
