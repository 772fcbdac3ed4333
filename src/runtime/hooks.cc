// See hooks.h.
#include "src/runtime/hooks.h"

#include <cerrno>

#include "src/base/units.h"
#include "src/os/descriptor_gate.h"
#include "src/os/process.h"
#include "src/os/sandbox.h"
#include "src/runtime/program_hooks.h"
#include "src/runtime/runtime.h"
#include "src/runtime/thread_state.h"

namespace mesh {

namespace {

// Before a sleep that is longer than this, what the program might use again soon is kept for so
// long, and then returned.
constexpr uint64_t kNapNs = 200 * kNsPerMs;

// Each step may be followed by a signal handler that uses the heap, or rests and ends that: then
// Begin() is refused.
void BeginRest() {
  Runtime* runtime = Runtime::IfUp();
  if (runtime == nullptr || thread_state.is_busy || !HasHeap()) return;
  if (!runtime->background().is_running()) return;
  ThreadLocalHeap* heap = thread_state.heap;
  const uint32_t number = heap->rest().Number();
  thread_state.resting_heap = heap;
  thread_state.is_resting = true;
  std::atomic_signal_fence(std::memory_order_seq_cst);
  thread_state.heap = &no_heap;
  std::atomic_signal_fence(std::memory_order_seq_cst);
  if (heap->rest().Begin(number)) return;
  thread_state.heap = heap;
  thread_state.is_resting = false;
}

}  // namespace

ThreadLocalHeap* EndRest() {
  ThreadLocalHeap* heap = thread_state.resting_heap;
  heap->rest().End();
  std::atomic_signal_fence(std::memory_order_seq_cst);
  thread_state.heap = heap;
  std::atomic_signal_fence(std::memory_order_seq_cst);
  thread_state.is_resting = false;
  return heap;
}

RestScope::RestScope() { BeginRest(); }

RestScope::~RestScope() { EndRestIfAny(); }

uint64_t Doze::left_ns() const {
  if (longest_ns_ == kForever || began_ns_ == 0) return longest_ns_;
  uint64_t gone = os::MonotonicNs() - began_ns_;
  return gone < longest_ns_ ? longest_ns_ - gone : 0;
}

uint64_t Doze::Finish() {
  is_over_ = true;
  return left_ns();
}

uint64_t Doze::NextWait() {
  EndRestIfAny();
  const uint64_t wait = DecideWait();
  if (wait > 0) BeginRest();
  return wait;
}

uint64_t Doze::DecideWait() {
  Runtime* runtime = Runtime::IfUp();
  // Busy: this is a signal handler that came while the thread was inside the heap.
  if (runtime == nullptr || thread_state.is_busy) return Finish();
  int saved = errno;
  BusyScope busy;
  uint64_t wait = has_looked_ ? Work(*runtime) : FirstWait(*runtime);
  errno = saved;
  return wait;
}

// Before the first slice: has a look, or sleeps until there may be one.
uint64_t Doze::FirstWait(Runtime& runtime) {
  uint64_t slept_ns = began_ns_ == 0 ? 0 : os::MonotonicNs() - began_ns_;
  uint64_t wait = runtime.IdleWorkIn(slept_ns);
  if (wait >= left_ns()) return Finish();
  if (began_ns_ == 0) began_ns_ = os::MonotonicNs();
  has_looked_ = wait == 0;
  return wait;
}

uint64_t Doze::Work(Runtime& runtime) {
  if (has_napped_ && !has_flushed_) {
    runtime.FlushOwnHeap(ThreadLocalHeap::Flushing::kBelowTops);
    has_flushed_ = true;
  }
  has_worked_ = true;
  bool has_more = runtime.IdleSlice(has_napped_);
  uint64_t left = left_ns();
  if (has_more && left > 0) return 0;
  // Nothing has come to the end.
  has_worked_ = false;
  if (has_napped_ || left <= kNapNs || !runtime.has_leftovers()) return Finish();
  has_napped_ = true;
  return kNapNs;
}

Doze::~Doze() {
  EndRestIfAny();
  if (has_worked_) Runtime::Get().IdleInterrupted();
}

ForkPermit BeforeFork() {
  Runtime* runtime = Runtime::IfUp();
  if (runtime == nullptr || thread_state.is_busy || !runtime->is_own_process()) {
    return ForkPermit::kGiven;
  }
  BusyScope busy;
  return runtime->fork_handler().TrySeparate() ? ForkPermit::kHeld : ForkPermit::kRefused;
}

void AfterFork(ForkPermit permit) {
  if (permit == ForkPermit::kHeld) Runtime::Get().fork_handler().Resume();
}

bool BeforeForkRaw() {
  EndRestIfAny();  // none goes on in the child
  ForkHandler& handler = Runtime::Get().fork_handler();
  if (handler.Prepare()) {
    LockProgramHooks();
    return true;
  }
  handler.Parent();
  return false;
}

void AfterForkParent() {
  UnlockProgramHooks();
  Runtime::Get().fork_handler().Parent();
}

void AfterForkChild() {
  UnlockProgramHooks();
  Runtime& runtime = Runtime::Get();
  runtime.BecomeChild();
  runtime.fork_handler().Child(OwnHeap(), thread_state.record, runtime.NewSeed());
}

void FilterComing(const void* program) {
  Runtime* runtime = Runtime::IfUp();
  // A vfork child filters itself alone.
  if (runtime == nullptr || thread_state.is_busy || !runtime->is_own_process()) return;
  // The filter is meant for every thread that the program has.
  BeforeSoleThreadCall();
  BusyScope busy;
  runtime->global().arena().StopAsking();
  Compactor& compactor = runtime->global().compactor();
  if (compactor.is_stopped()) return;
  if (program == nullptr || !os::SurvivesFilter(program)) compactor.Stop();
}

bool DescriptorsClosing(unsigned int first, unsigned int last) {
  Runtime* runtime = Runtime::IfUp();
  // Busy: a signal handler's call while the thread was inside the heap. [DG1]
  if (runtime == nullptr || thread_state.is_busy) return false;
  // A vfork child shares our memory, but closes its own copy of our descriptors. [DG2]
  if (!runtime->is_own_process()) return false;
  os::DescriptorGate::Enter();
  BusyScope busy;
  runtime->global().GiveUpDescriptors(first, last);
  return true;
}

void DescriptorsClosed() { os::DescriptorGate::Leave(); }

}  // namespace mesh
