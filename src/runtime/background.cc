// See background.h.
#include "src/runtime/background.h"

#include <errno.h>

#include <new>

#include "src/base/futex.h"
#include "src/os/process.h"
#include "src/os/signals.h"
#include "src/runtime/thread_state.h"

namespace mesh {
namespace {

// libc puts the thread-local storage of all libraries on the stack as well, and says EINVAL when it
// is too short for that.
constexpr size_t kStackBytes = size_t{128} << 10;
constexpr size_t kMostStackBytes = size_t{16} << 20;

// After so many refusals it is not tried again.
constexpr int kMostRefusals = 3;

// How long Stop() waits for the kernel to forget a thread that has ended.
constexpr uint64_t kGoneNs = 1'000'000'000;

// By these libc calls every thread to act: cancellation, and setuid in all threads. Who sends the
// second waits for an answer. Numbers: glibc's sysdeps/unix/sysv/linux/internal-signals.h.
constexpr os::SignalMask kSignalsOfLibc = os::MaskOf(32) | os::MaskOf(33);

}  // namespace

bool BackgroundThread::Start(ThreadCreator* libcs) {
  if (is_running()) return true;
  if (!lock_.TryLock()) return false;
  if (!is_running() && refusals_ < kMostRefusals) {
    // order: relaxed; the thread comes to be after it.
    thread_id_.store(0, std::memory_order_relaxed);
    state_.store(State::kAwake, std::memory_order_relaxed);
    if (Create(libcs) != 0) {
      state_.store(State::kAbsent, std::memory_order_relaxed);
      refusals_++;
    }
  }
  lock_.Unlock();
  return is_running();
}

// The new thread has the mask of its maker. [BG2]
int BackgroundThread::Create(ThreadCreator* libcs) NO_THREAD_SAFETY_ANALYSIS {
  pthread_attr_t attributes;
  int error = pthread_attr_init(&attributes);
  if (error != 0) return error;
  os::Result<os::SignalMask> before = os::SetSignalMask(os::kAllSignals & ~kSignalsOfLibc);
  error = before.error;
  if (before.ok()) {
    for (size_t bytes = kStackBytes; bytes <= kMostStackBytes; bytes *= 2) {
      error = pthread_attr_setstacksize(&attributes, bytes);
      if (error == 0) error = libcs(&thread_, &attributes, Main, this);
      if (error != EINVAL) break;
    }
    os::RestoreSignalMask(before.value);
  }
  pthread_attr_destroy(&attributes);
  return error;
}

void BackgroundThread::Stop() {
  MutexLock lock(lock_);
  if (!is_running()) return;
  // order: release; pairs with the acquire in Stops().
  state_.exchange(State::kStopping, std::memory_order_release);
  FutexWake(state_, 1);
  int cancel_state = 0;
  pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel_state);
  pthread_join(thread_, nullptr);
  pthread_setcancelstate(cancel_state, nullptr);
  // Who has joined it may still find it among the process's threads. [BG3]
  // order: relaxed; joined.
  int thread_id = thread_id_.load(std::memory_order_relaxed);
  uint64_t until_ns = os::MonotonicNs() + kGoneNs;
  while (os::IsThread(thread_id) && os::MonotonicNs() < until_ns) os::YieldThread();
  os::SetOwnThread(0);
  state_.store(State::kAbsent, std::memory_order_relaxed);
}

void BackgroundThread::AfterForkInChild() NO_THREAD_SAFETY_ANALYSIS {
  new (&lock_) Mutex(LockRank::kBackground);
  refusals_ = 0;
  os::SetOwnThread(0);
  // order: relaxed; the child has one thread.
  state_.store(State::kAbsent, std::memory_order_relaxed);
}

void BackgroundThread::Wake(uint32_t state) {
  // order: seq_cst; see NoteActivity(). One of many wakes it.
  if (state_.compare_exchange_strong(state, State::kAwake, std::memory_order_seq_cst)) {
    FutexWake(state_, 1);
  }
}

void* BackgroundThread::Main(void* self) {
  // Interposed calls keep out.
  thread_state.is_busy = true;
  os::NameThread("mesh");
  os::UseOrdinaryScheduling();
  static_cast<BackgroundThread*>(self)->Loop();
  return nullptr;
}

bool BackgroundThread::Stops() const {
  // order: acquire; pairs with the release in Stop().
  return state_.load(std::memory_order_acquire) == State::kStopping;
}

void BackgroundThread::Loop() {
  int thread_id = os::ThreadId();
  os::SetOwnThread(thread_id);
  // order: relaxed; read after the join.
  thread_id_.store(thread_id, std::memory_order_relaxed);
  Pacer pacer;
  while (!Stops()) {
    if (job_.is_urgent(job_.context)) job_.work_urgently(job_.context);
    Pacer::Settings settings = job_.settings(job_.context);
    uint64_t own_ns = os::ThreadCpuNs();
    // order: relaxed; see cpu_ns().
    cpu_ns_.store(own_ns, std::memory_order_relaxed);
    Pacer::Decision decision = pacer.Next(
        settings, {os::MonotonicNs(), job_.activity(job_.context), os::ProcessCpuNs() - own_ns});
    if (decision.act == Pacer::Act::kWork) {
      Turn(pacer, settings, decision);
    } else {
      Rest(pacer, decision);
    }
  }
}

void BackgroundThread::Turn(Pacer& pacer, const Pacer::Settings& settings,
                            const Pacer::Decision& decision) {
  uint64_t began_ns = os::ThreadCpuNs();
  Pacer::Outcome outcome = job_.turn(job_.context, decision.ns, decision.is_quiet);
  // order: relaxed; see turns().
  turns_.fetch_add(1, std::memory_order_relaxed);
  pacer.Done(settings, os::MonotonicNs(), os::ThreadCpuNs() - began_ns, outcome);
}

void BackgroundThread::Rest(const Pacer& pacer, const Pacer::Decision& decision) {
  bool is_nap = decision.act == Pacer::Act::kWait;
  uint32_t resting = is_nap ? State::kNapping : State::kAsleep;
  uint32_t state = State::kAwake;
  // order: seq_cst; see NoteActivity().
  if (!state_.compare_exchange_strong(state, resting, std::memory_order_seq_cst)) return;
  bool has_news = !is_nap && job_.activity(job_.context) != pacer.activity();
  if (!has_news && !job_.is_urgent(job_.context)) {
    if (is_nap) {
      FutexWaitFor(state_, resting, decision.ns);
    } else {
      FutexWait(state_, resting);
    }
  }
  // Unless somebody has woken or stopped it.
  state_.compare_exchange_strong(resting, State::kAwake, std::memory_order_seq_cst);
}

}  // namespace mesh
