// The hooks by which threads come, and calls that the background thread must not be there for; see
// hooks.h.
#include <cerrno>

#include "src/runtime/hooks.h"
#include "src/runtime/runtime.h"
#include "src/runtime/thread_state.h"
#include "src/secure/slot_guard.h"

namespace mesh {
namespace {

// Makes a thread by `make`, which returns an errno value, and sees to the background thread.
template <typename Make>
int CreateBeside(Runtime& runtime, ThreadCreator* libcs, Make make) {
  int saved = errno;
  BackgroundThread& background = runtime.background();
  runtime.program_threads().CountMe();
  int error = make();
  if (error != 0 && background.is_running()) {
    // The place that our thread takes may be the one that is missing (RLIMIT_NPROC).
    background.Stop();
    runtime.RenounceBackground();
    error = make();
  }
  if (error == 0 && runtime.wants_background()) background.Start(libcs);
  errno = saved;
  return error;
}

}  // namespace

int CreateThread(ThreadCreator* libcs, pthread_t* thread, const pthread_attr_t* attributes,
                 void* (*function)(void*), void* argument) {
  Runtime& runtime = Runtime::Get();
  SlotGuard::ExpectThreads();
  if (!runtime.wants_background() || !runtime.is_own_process()) {
    return libcs(thread, attributes, function, argument);
  }
  return CreateBeside(runtime, libcs, [&] {
    ProgramThreads::Start start = {function, nullptr, argument, nullptr, nullptr};
    return runtime.program_threads().Make(start, [&](ProgramThreads::Start* wrapped) {
      if (wrapped == nullptr) return libcs(thread, attributes, function, argument);
      return libcs(thread, attributes, ProgramThreads::Run, wrapped);
    });
  });
}

int CreateC11Thread(C11ThreadCreator* libcs, ThreadCreator* libcs_other, thrd_t* thread,
                    thrd_start_t function, void* argument) {
  Runtime& runtime = Runtime::Get();
  SlotGuard::ExpectThreads();
  if (!runtime.wants_background() || !runtime.is_own_process()) {
    return libcs(thread, function, argument);
  }
  return CreateBeside(runtime, libcs_other, [&] {
    ProgramThreads::Start start = {nullptr, function, argument, nullptr, nullptr};
    return runtime.program_threads().Make(start, [&](ProgramThreads::Start* wrapped) {
      if (wrapped == nullptr) return libcs(thread, function, argument);
      return libcs(thread, ProgramThreads::RunC11, wrapped);
    });
  });
}

void ProgramBegins(ThreadCreator* libcs) {
  Runtime& runtime = Runtime::Get();
  if (!runtime.wants_background() || !runtime.wants_background_at_once()) return;
  SlotGuard::ExpectThreads();
  runtime.program_threads().CountMe();
  runtime.background().Start(libcs);
}

void BeforeSoleThreadCall() {
  Runtime* runtime = Runtime::IfUp();
  if (runtime == nullptr || !runtime->background().is_running()) return;
  // Busy: a signal handler's call while the thread was inside the heap, for which ours may wait.
  if (thread_state.is_busy) return;
  // With threads of its own beside it, the call means what it means without us.
  if (runtime->program_threads().count() > 1 || !runtime->is_own_process()) return;
  int saved = errno;
  runtime->background().Stop();
  errno = saved;
}

}  // namespace mesh
