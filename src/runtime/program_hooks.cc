// See program_hooks.h.
#include "src/runtime/program_hooks.h"

#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "src/base/check.h"
#include "src/base/mutex.h"
#include "src/base/units.h"
#include "src/os/memory.h"
#include "src/runtime/heap.h"
#include "src/runtime/thread_state.h"

namespace mesh {

constinit std::atomic<uint32_t> slow_path_news{0};

namespace {

// Guards what is registered. Taken last of all, and let go before a hook is called.
constinit Mutex lock(LockRank::kLeaf);

// Bits of thread_state.running_hooks.
enum class HookKind : uint8_t { kDeferredFree = 1, kOutput = 2, kError = 4, kOutOfMemory = 8 };

// One function of the program's, and whether there is one.
template <typename Function>
class Hook {
 public:
  constexpr explicit Hook(HookKind kind) : kind_(static_cast<uint8_t>(kind)) {}

  void Set(Function* function, void* argument) {
    MutexLock guard(lock);
    function_ = function;
    argument_ = argument;
    // order: relaxed; who sees it takes the lock before he looks further.
    is_set_.store(function != nullptr, std::memory_order_relaxed);
  }

  bool is_set() const {
    // order: relaxed; see Set().
    return is_set_.load(std::memory_order_relaxed);
  }

  // Calls `call(function, argument)`. False: there is none, it runs in this thread already, or this
  // is a signal handler that came while the thread was inside the heap.
  template <typename Call>
  bool Run(Call call) const {
    if (!is_set() || (thread_state.running_hooks & kind_) != 0) return false;
    if (thread_state.is_busy && !IsEnding()) return false;
    Function* function = nullptr;
    void* argument = nullptr;
    {
      MutexLock guard(lock);
      function = function_;
      argument = argument_;
    }
    if (function == nullptr) return false;
    int saved = errno;
    thread_state.running_hooks |= kind_;
    call(function, argument);
    thread_state.running_hooks &= static_cast<uint8_t>(~kind_);
    errno = saved;
    return true;
  }

 private:
  const uint8_t kind_;
  std::atomic<bool> is_set_{false};
  Function* function_ = nullptr;
  void* argument_ = nullptr;
};

constinit Hook<DeferredFreeHook> deferred_free(HookKind::kDeferredFree);
constinit Hook<OutputHook> output(HookKind::kOutput);
constinit Hook<ErrorHook> error_hook(HookKind::kError);
constinit Hook<OutOfMemoryHook> out_of_memory(HookKind::kOutOfMemory);

// Grows with each call of the hook for deferred frees.
constinit std::atomic<uint64_t> heartbeat{0};

void SetNews(uint32_t bit, bool is_set) {
  // order: relaxed; see HasSlowPathNews().
  if (is_set) {
    slow_path_news.fetch_or(bit, std::memory_order_relaxed);
  } else {
    slow_path_news.fetch_and(~bit, std::memory_order_relaxed);
  }
}

bool WriteToHook(const char* text) {
  return output.Run([&](OutputHook* function, void* argument) { function(text, argument); });
}

// Hands text over in pieces that end with a zero; to standard error where the hook must not run.
void WriteOutput(void*, std::string_view text) {
  constexpr size_t kMost = LineWriter::kCapacity - 1;
  while (!text.empty()) {
    const size_t length = text.size() < kMost ? text.size() : kMost;
    char piece[LineWriter::kCapacity];
    memcpy(piece, text.data(), length);
    piece[length] = '\0';
    if (!WriteToHook(piece)) {
      LineWriter line;
      line.Text(piece);
      line.FlushTo(STDERR_FILENO);
    }
    text.remove_prefix(length);
  }
}

int ErrorOf(const char* complaint) {
  return strcmp(complaint, "double free") == 0 ? EAGAIN : EFAULT;
}

// A complaint that ends the program; [PH1].
void Complain(const char* message, const char* line) {
  // What a hook does wrong is no matter for hooks.
  const bool is_first = !thread_state.is_ending;
  thread_state.is_ending = true;
  thread_state.heap = &no_heap;
  thread_state.own_heap = nullptr;
  SetNews(kIsEnding, true);
  WriteOutput(nullptr, line);
  if (!is_first) return;
  error_hook.Run(
      [&](ErrorHook* function, void* argument) { function(ErrorOf(message), argument); });
}

// The complaints of the library are the hooks' from the first one on that is registered.
void TakeComplaints() { SetComplaintHandler(Complain); }

}  // namespace

void SetDeferredFree(DeferredFreeHook* function, void* argument) {
  deferred_free.Set(function, argument);
  SetNews(kHasDeferredFree, function != nullptr);
}

void SetOutput(OutputHook* function, void* argument) {
  output.Set(function, argument);
  TakeComplaints();
}

void SetErrorHook(ErrorHook* function, void* argument) {
  error_hook.Set(function, argument);
  TakeComplaints();
}

void SetOutOfMemory(OutOfMemoryHook* function, void* argument) {
  out_of_memory.Set(function, argument);
}

void NoteError(int error) {
  error_hook.Run([&](ErrorHook* function, void* argument) { function(error, argument); });
}

void RunDeferredFree(bool force) {
  deferred_free.Run([&](DeferredFreeHook* function, void* argument) {
    // order: relaxed; only that each call gets a larger one.
    function(force, heartbeat.fetch_add(1, std::memory_order_relaxed) + 1, argument);
  });
}

bool AskForMemory(size_t size) {
  bool again = false;
  if (size <= PTRDIFF_MAX) {
    out_of_memory.Run(
        [&](OutOfMemoryHook* function, void* argument) { again = function(size, argument); });
  }
  if (!again) NoteError(ENOMEM);
  return again;
}

TextSink OutputSink(const int* descriptor) {
  if (!output.is_set()) return DescriptorSink(descriptor);
  return {WriteOutput, nullptr};
}

void LockProgramHooks() NO_THREAD_SAFETY_ANALYSIS { lock.Lock(); }
void UnlockProgramHooks() NO_THREAD_SAFETY_ANALYSIS { lock.Unlock(); }

bool IsEnding() { return thread_state.is_ending; }

namespace {

// Before each object that a thread gets while it ends the program: how long it is. A page lies
// between, so that the object is aligned to one.
struct EndingHeader {
  size_t size;
};

}  // namespace

void* AllocateWhileEnding(size_t size, size_t alignment) {
  if (size > PTRDIFF_MAX || alignment > kPageSize) return nullptr;
  os::Result<uintptr_t> place = os::MapAnonymous(RoundUp(size + 1, kPageSize) + kPageSize);
  if (!place.ok()) return nullptr;
  reinterpret_cast<EndingHeader*>(place.value)->size = size;
  return reinterpret_cast<void*>(place.value + kPageSize);
}

// `object`: no object of the heap's, so one of AllocateWhileEnding().
void* ReallocWhileEnding(void* object, size_t size) {
  void* moved = AllocateWhileEnding(size, kMinAlignment);
  if (moved == nullptr) return nullptr;
  const uintptr_t header = reinterpret_cast<uintptr_t>(object) - kPageSize;
  const size_t old_size = reinterpret_cast<const EndingHeader*>(header)->size;
  return memcpy(moved, object, old_size < size ? old_size : size);
}

}  // namespace mesh
