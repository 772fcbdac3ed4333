// See hooks.h.
#include "src/runtime/hooks.h"

#include <cerrno>

#include "src/os/descriptor_gate.h"
#include "src/os/sandbox.h"
#include "src/runtime/runtime.h"
#include "src/runtime/thread_state.h"

namespace mesh {

void BeforeBlocking() {
  Runtime* runtime = Runtime::IfUp();
  // Busy: this is a signal handler that came while the thread was inside the heap.
  if (runtime == nullptr || thread_state.is_busy) return;
  int saved = errno;
  BusyScope busy;
  runtime->OnIdle();
  errno = saved;
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
  ForkHandler& handler = Runtime::Get().fork_handler();
  if (handler.Prepare()) return true;
  handler.Parent();
  return false;
}

void AfterForkParent() { Runtime::Get().fork_handler().Parent(); }

void AfterForkChild() {
  Runtime& runtime = Runtime::Get();
  runtime.NoteProcess();
  runtime.fork_handler().Child(HasHeap() ? thread_state.heap : nullptr, thread_state.record,
                               runtime.NewSeed());
}

void FilterComing(const void* program) {
  Runtime* runtime = Runtime::IfUp();
  // A vfork child filters itself alone.
  if (runtime == nullptr || thread_state.is_busy || !runtime->is_own_process()) return;
  BusyScope busy;
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
