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

  // A thread came by on a slow path, or is about to sleep: meshes and returns pages when the period
  // has passed. Bounded in time.
  void OnSlowPath();
  void OnIdle();
  // Does what another process has asked for (src/control/window.h), if anything: one load if not.
  // Both above do; it may take as long as Compact(). The thread is busy.
  void ServeRequest();

  size_t Compact();
  void Collect(Statistics* out);
  uint64_t period_ms() const;
  void set_period_ms(uint64_t period_ms);
  uint64_t NewSeed();

  // False in the child of a vfork, or of a fork that no hook of ours has seen.
  bool is_own_process() const;
  void NoteProcess();

 private:
  friend struct WindowLayout;  // tells other processes where the figures lie
  Runtime();
  static void BringUp();
  static void ThreadExit(void* heap);
  static bool Due(uint64_t now_ns, std::atomic<uint64_t>& next_ns, uint64_t period_ns);
  void CollectClasses(Statistics* out);
  void CollectMemory(Statistics* out);
  void Work(uint64_t now_ns, uint64_t length_ns);

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
  SlotOrder order_ = SlotOrder::kRandomStart;
  bool meshing_ = true;
  std::atomic<uint64_t> period_ns_{0};
  std::atomic<uint64_t> next_pass_ns_{0};
  std::atomic<uint64_t> next_fold_ns_{0};
  std::atomic<uint64_t> seed_{0};
  std::atomic<uint32_t> slow_paths_{0};
};

}  // namespace mesh
