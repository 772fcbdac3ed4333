// Runtime: the one heap of this process, put together from the rooms below; the only singleton.
//
//   Malloc -> ThreadLocalHeap -> SizeClassHeap -> Arena -> kernel
//                                    \-> Compactor -> Mesher -> WriteBarrier, Backing
//
// Room: runtime; above all but libmesh. Thread rule: any thread, also before constructors have run:
// everything is brought up at first use.
//
// [R1] A thread without a heap of its own (none could be made, or its exit has begun) goes through
//      the global heap for each object.
#pragma once

#include <pthread.h>

#include <atomic>
#include <cstdint>

#include "src/config/options.h"
#include "src/control/mallctl.h"
#include "src/fork/fork_handler.h"
#include "src/global/global_heap.h"
#include "src/local/thread_registry.h"
#include "src/runtime/background.h"
#include "src/runtime/pacing.h"
#include "src/runtime/program_threads.h"

namespace mesh {

class Runtime {
 public:
  // The process's runtime, brought up by the first call.
  static Runtime& Get() {
    // order: acquire; pairs with the release in BringUp(). All of the runtime is visible.
    if (MESH_UNLIKELY(!ready_.load(std::memory_order_acquire))) BringUp();
    return *reinterpret_cast<Runtime*>(storage_);
  }
  // For hooks that have nothing to do before the heap is used: null until then.
  static Runtime* IfUp() {
    // order: acquire; as in Get().
    return ready_.load(std::memory_order_acquire) ? reinterpret_cast<Runtime*>(storage_) : nullptr;
  }

  GlobalHeap& global() { return global_; }
  ThreadRegistry& registry() { return registry_; }
  ForkHandler& fork_handler() { return fork_; }
  const Options& options() const { return options_; }
  const ControlTarget& control() const { return control_; }

  // A heap for the calling thread, or null: then [R1].
  ThreadLocalHeap* AttachThread();

  // A thread came by on a slow path: meshes and returns pages when the time has come.
  void OnSlowPath();
  // For a thread that is about to sleep, or to go on after `slept_ns` of it. When there is
  // something to do for it: in how long [ns], 0 for now, kNoIdleWork for never; a slice of that,
  // which returns all free pages when the thread has slept a while; and what is left then: those,
  // and what the thread's heap holds.
  static constexpr uint64_t kNoIdleWork = UINT64_MAX;
  uint64_t IdleWorkIn(uint64_t slept_ns);
  bool IdleSlice(bool has_napped);  // whether there is more
  bool has_leftovers() const;
  // The calling thread's, which rests or is in a call of its own.
  void FlushOwnHeap(ThreadLocalHeap::Flushing how);
  // Something came in the middle of it: the program had no time for the last slice after all.
  void IdleInterrupted();

  BackgroundThread& background() { return background_; }
  ProgramThreads& program_threads() { return threads_; }
  // There may be a background thread; when the program is loaded already.
  bool wants_background() const {
    // order: relaxed; a thread less or more.
    return wants_background_.load(std::memory_order_relaxed);
  }
  bool wants_background_at_once() const {
    return options_.background_thread() == BackgroundChoice::kAlways;
  }
  // From now on there is none.
  void RenounceBackground() {
    // order: relaxed; see wants_background().
    wants_background_.store(false, std::memory_order_relaxed);
  }
  // Does what another process has asked for (src/control/window.h), if anything: one load if not.
  // Done on slow paths, before sleeps and by the background thread when it is awake; it may take as
  // long as Compact(). The thread is busy.
  void ServeRequest();

  size_t Compact();
  size_t CompactHeap(const ProgramHeap* heap, bool meshes);
  void Collect(Statistics* out);
  uint64_t period_ms() const;
  void set_period_ms(uint64_t period_ms);
  uint64_t NewSeed();
  // When it was brought up, monotonic [ns].
  uint64_t began_ns() const { return began_ns_; }

  // False in the child of a vfork, or of a fork that no hook of ours has seen.
  bool is_own_process() const;
  void NoteProcess();
  // In a fork's child: the process, and the one thread that it has.
  void BecomeChild();

 private:
  friend struct WindowLayout;  // tells other processes where the figures lie
  Runtime();
  static void BringUp();
  static void ThreadExit(void* heap);
  void CollectClasses(Statistics* out);
  void CollectMemory(Statistics* out);
  void Work(uint64_t now_ns);
  void MeshSlice(uint64_t now_ns, uint64_t period_ns);
  void Harden(int level);
  void InitBackground();
  uint64_t Activity() const {
    // order: seq_cst; see BackgroundThread::NoteActivity().
    return slow_paths_.load(std::memory_order_seq_cst);
  }
  // Folds when it is time. Returns: whether that saved anything.
  bool FoldIfDue(uint64_t now_ns, uint64_t length_ns, GlobalHeap::TimeOf whose);
  uint64_t NextFold() const;
  bool has_dirty_pages() const {
    // order: relaxed; of idle work, which leaves them.
    return has_dirty_pages_.load(std::memory_order_relaxed);
  }
  size_t ReturnPages(bool is_quiet, size_t most_bytes);
  Pacer::Outcome Turn(uint64_t length_ns, bool is_quiet);
  // By the background thread: empties the heaps of threads that rest, when it is time. Returns:
  // whether there was anything in them.
  bool EmptyRestingIfDue(uint64_t now_ns);

  static std::atomic<bool> ready_;
  alignas(64) static unsigned char storage_[];

  Options options_;
  GlobalHeap global_;
  ThreadRegistry registry_;
  ForkHandler fork_;
  ControlTarget control_;
  pthread_key_t exit_key_ = 0;
  int process_ = 0;
  bool has_exit_key_ = false;
  std::atomic<bool> has_attached_{false};  // a thread, with or without success
  SlotOrder order_ = SlotOrder::kRandomStart;
  bool meshing_ = true;
  uint64_t began_ns_ = 0;
  std::atomic<uint64_t> period_ns_{0};
  std::atomic<uint64_t> next_pass_ns_{0};
  // On slow paths: the next slice of meshing, how long after one that gained nothing, and whether
  // the last work was one.
  std::atomic<uint64_t> next_mesh_ns_{0};
  std::atomic<uint64_t> mesh_delay_ns_{0};
  std::atomic<bool> has_just_meshed_{false};
  std::atomic<uint64_t> next_idle_ns_{0};  // in a program that sleeps
  std::atomic<uint64_t> next_fold_ns_{0};
  std::atomic<uint64_t> fold_period_ns_{0};
  std::atomic<uint64_t> fold_activity_{0};    // at the last fold
  std::atomic<uint64_t> done_activity_{0};    // when idle work was last done to its end
  std::atomic<bool> has_dirty_pages_{false};  // since then
  std::atomic<uint64_t> seed_{0};
  std::atomic<uint64_t> slow_paths_{0};
  std::atomic<bool> wants_background_{false};
  // The background thread's own: when it looks for threads that rest, 0 for not, how long after the
  // last look, and the activity then.
  uint64_t next_rest_look_ns_ = 0;
  uint64_t rest_look_period_ns_ = 0;
  uint64_t rest_look_activity_ = 0;
  ProgramThreads threads_;
  BackgroundThread background_;
};

}  // namespace mesh
