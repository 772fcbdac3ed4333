// See runtime.h: bringing up, threads, fork, and when work is done on the side.
#include "src/runtime/runtime.h"

#include <new>

#include "src/base/check.h"
#include "src/base/units.h"
#include "src/config/environment.h"
#include "src/os/descriptor_gate.h"
#include "src/os/limits.h"
#include "src/os/process.h"
#include "src/os/program.h"
#include "src/runtime/hardened_heap.h"
#include "src/runtime/hooks.h"
#include "src/runtime/program_hooks.h"
#include "src/runtime/secure_default.h"
#include "src/runtime/thread_state.h"
#include "src/secure/canary.h"
#include "src/secure/policy.h"
#include "src/secure/slot_guard.h"
#include "src/secure/zero_objects.h"

namespace mesh {

constinit ThreadLocalHeap no_heap;
__thread ThreadState thread_state = {&no_heap, false, false, nullptr, nullptr, 0,
                                     nullptr,  0,     0,     false,   false,   nullptr};

__attribute__((weak)) int DefaultSecureLevel() { return 0; }

constinit std::atomic<bool> Runtime::ready_{false};
alignas(64) constinit unsigned char Runtime::storage_[sizeof(Runtime)] = {};

namespace {

// A segment takes at most this share of a limited address space.
constexpr size_t kAddressSpaceShare = 16;
constexpr size_t kSmallestSegment = 4 * kMiB;

constinit Mutex bring_up_lock(LockRank::kBringUp);

BarrierTier TierOf(BarrierChoice choice) {
  switch (choice) {
    case BarrierChoice::kAuto:
      return BarrierTier::kAuto;
    case BarrierChoice::kSingle:
      return BarrierTier::kSingleThread;
    case BarrierChoice::kUserfault:
      return BarrierTier::kUserfault;
    case BarrierChoice::kUserfaultUser:
      return BarrierTier::kUserfaultUserOnly;
    case BarrierChoice::kSegv:
      return BarrierTier::kSegv;
    case BarrierChoice::kNone:
      return BarrierTier::kNone;
  }
  return BarrierTier::kAuto;
}

SlotOrder OrderOf(RandomChoice choice) {
  switch (choice) {
    case RandomChoice::kStart:
      return SlotOrder::kRandomStart;
    case RandomChoice::kFull:
      return SlotOrder::kShuffled;
    case RandomChoice::kNone:
      return SlotOrder::kAscending;
  }
  return SlotOrder::kRandomStart;
}

bool ExpectsForks(ForkChoice choice) {
  if (choice != ForkChoice::kAuto) return choice == ForkChoice::kAlways;
  return os::ProgramImports("fork") != os::Imports::kNo;
}

size_t SegmentSize() {
  os::Result<size_t> limit = os::AddressSpaceLimit();
  if (!limit.ok() || limit.value == SIZE_MAX) return kWindowSize;
  size_t size = kSmallestSegment;
  while (size < kWindowSize && size * 2 <= limit.value / kAddressSpaceShare) size *= 2;
  return size;
}

void ForkPrepare() {
  EndRestIfAny();  // none goes on in the child
  Runtime::Get().fork_handler().Prepare();
  LockProgramHooks();
}

}  // namespace

Runtime::Runtime() : fork_(global_, registry_) {
  NoteProcess();
  options_.SetValue(OptionId::secure, DefaultSecureLevel());
  LoadOptions(FindEnvironment(), PrintOptionProblem, &options_);
  seed_ = options_.seed() != 0 ? static_cast<uint64_t>(options_.seed()) : os::RandomSeed();
  order_ = OrderOf(options_.random());
  Harden(static_cast<int>(options_.secure()));
  meshing_ = options_.meshing();
  period_ns_ = static_cast<uint64_t>(options_.period_ms()) * kNsPerMs;
  // Short-lived processes are spared even the look at what could be meshed.
  began_ns_ = os::MonotonicNs();
  next_pass_ns_ = began_ns_ + period_ns_;
  global_.arena().set_segment_size(SegmentSize());
  global_.program_heaps().set_order(order_);
  global_.ExpectForks(ExpectsForks(options_.expect_fork()));
  global_.barrier().Init(TierOf(options_.barrier()));
  control_.context = this;
  control_.options = &options_;
  control_.compact = [](void* self) { return static_cast<Runtime*>(self)->Compact(); };
  control_.scavenge = [](void* self) { return static_cast<Runtime*>(self)->global_.Scavenge(); };
  control_.collect = [](void* self, Statistics* out) { static_cast<Runtime*>(self)->Collect(out); };
  control_.period_ms = [](void* self) { return static_cast<Runtime*>(self)->period_ms(); };
  control_.set_period_ms = [](void* self, uint64_t period_ms) {
    static_cast<Runtime*>(self)->set_period_ms(period_ms);
  };
}

// Before the heap is used.
void Runtime::Harden(int level) {
  SecurePolicy policy = SecurePolicy::Of(level);
  secure_policy = policy;
  if (policy.has_states == 0) return;
  // Of its own: who learns of a canary learns nothing of where objects lie.
  uint64_t seed = options_.seed() != 0 ? NewSeed() : os::RandomSeed();
  if (!Canary::Draw(seed)) {
    secure_policy = SecurePolicy::Of(1);
    return;
  }
  zero_objects.Reserve(NewSeed());
  if (policy.guards_large) global_.arena().GuardLarge(NewSeed());
  if (policy.guards_spans) global_.arena().GuardSpans();
  if (policy.shuffles) order_ = SlotOrder::kShuffledRun;
  global_.arena().KeepSlotStates();
  LookAtEach();
}

void Runtime::BringUp() {
  {
    MutexLock lock(bring_up_lock);
    // order: relaxed; under the lock.
    if (ready_.load(std::memory_order_relaxed)) return;
    new (storage_) Runtime();
    // order: release; pairs with the acquire in Get().
    ready_.store(true, std::memory_order_release);
  }
  // Both may allocate, so they come when the heap stands. Without a key, threads go by [R1].
  Runtime& runtime = Get();
  runtime.has_exit_key_ = pthread_key_create(&runtime.exit_key_, ThreadExit) == 0;
  runtime.InitBackground();
  pthread_atfork(ForkPrepare, AfterForkParent, AfterForkChild);
}

ThreadLocalHeap* Runtime::AttachThread() {
  if (ThreadLocalHeap* heap = OwnHeap(); heap != nullptr) return heap;
  if (thread_state.default_heap != nullptr) return nullptr;
  if (thread_state.has_exited || !has_exit_key_ || options_.check_frees()) return nullptr;
  ThreadLocalHeap* heap = registry_.Acquire(&global_, NewSeed(), order_);
  // Not all threads are made by libc.
  if (has_attached_.exchange(true)) SlotGuard::ExpectThreads();
  if (heap == nullptr) return nullptr;
  // Hardened, every call goes the slow way.
  (secure_policy.has_states > 0 ? thread_state.own_heap : thread_state.heap) = heap;
  // May allocate, which works by now.
  if (pthread_setspecific(exit_key_, heap) != 0) {
    thread_state.own_heap = nullptr;
    thread_state.heap = &no_heap;
    registry_.Retire(heap);
    return nullptr;
  }
  return heap;
}

void Runtime::ThreadExit(void* heap) {
  EndRestIfAny();
  thread_state.heap = &no_heap;
  thread_state.default_heap = nullptr;
  thread_state.own_heap = nullptr;
  thread_state.has_exited = true;
  BusyScope busy;
  Get().global_.barrier().buffers().Release(thread_state.record);
  thread_state.record = nullptr;
  Get().registry_.Retire(static_cast<ThreadLocalHeap*>(heap));
}

bool Runtime::is_own_process() const { return os::ProcessId() == process_; }

void Runtime::NoteProcess() {
  process_ = os::ProcessId();
  os::DescriptorGate::StartIn(process_);
}

void Runtime::BecomeChild() {
  NoteProcess();
  // What the child draws from now on, its parent cannot know.
  // order: relaxed; the child has one thread.
  if (options_.seed() == 0) seed_.store(os::RandomSeed(), std::memory_order_relaxed);
  if (secure_policy.level > 0) {
    global_.arena().Reseed(NewSeed());
    zero_objects.Reseed(NewSeed());
  }
  threads_.AfterForkInChild();
  background_.AfterForkInChild();
  // Until there is one again, threads of the program do its work.
  global_.arena().set_defers_return(false);
}

uint64_t Runtime::NewSeed() {
  // order: relaxed; only that each caller gets another value.
  return seed_.fetch_add(0x9e3779b97f4a7c15u, std::memory_order_relaxed);
}

size_t Runtime::Compact() {
  BusyScope busy;
  FlushOwnHeap(ThreadLocalHeap::Flushing::kAll);
  registry_.EmptyResting(true);
  return meshing_ ? global_.Compact() : global_.Scavenge();
}

size_t Runtime::CompactHeap(const ProgramHeap* heap, bool meshes) {
  return global_.CompactHeap(heap, meshes && meshing_);
}

uint64_t Runtime::period_ms() const {
  // order: relaxed; a setting.
  return period_ns_.load(std::memory_order_relaxed) / kNsPerMs;
}

void Runtime::set_period_ms(uint64_t period_ms) {
  // order: relaxed; a setting.
  period_ns_.store(period_ms * kNsPerMs, std::memory_order_relaxed);
  next_pass_ns_.store(0, std::memory_order_relaxed);
  next_mesh_ns_.store(0, std::memory_order_relaxed);
  next_idle_ns_.store(0, std::memory_order_relaxed);
  background_.NoteActivity(true);
}

}  // namespace mesh
