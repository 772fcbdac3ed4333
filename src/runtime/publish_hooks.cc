// The hooks by which calls of the program are published; see hooks.h and meshing/published.h.
#include "src/arena/page_map.h"
#include "src/runtime/hooks.h"
#include "src/runtime/runtime.h"
#include "src/runtime/thread_state.h"
#include "src/sizeclass/size_class.h"

namespace mesh {
namespace {

using Record = SyscallBuffers::Record;

constexpr Range kAllMemory = {0, SIZE_MAX};

SyscallBuffers& Buffers() { return Runtime::Get().global().barrier().buffers(); }

// The calling thread's record; null when it cannot have one, which costs meshing while it is in the
// kernel. Records belong to threads with a heap, because that is given back when the thread ends.
Record* OwnRecord() {
  if (MESH_LIKELY(thread_state.record != nullptr)) return thread_state.record;
  // Busy: a signal handler that came while the thread was inside the heap.
  if (!HasHeap()) {
    if (thread_state.is_busy) return nullptr;
    BusyScope busy;
    if (Runtime::Get().AttachThread() == nullptr) return nullptr;
  }
  Record* record = Buffers().Acquire();
  // A signal handler may have come in between, with one of its own.
  if (thread_state.record != nullptr) {
    Buffers().Release(record);
  } else {
    thread_state.record = record;
  }
  return thread_state.record;
}

bool NeedsLowerTiers(BarrierChoice choice) {
  return choice == BarrierChoice::kAuto || choice == BarrierChoice::kUserfaultUser ||
         choice == BarrierChoice::kSegv;
}

}  // namespace

void InterpositionInForce() {
  const Options& options = Runtime::Get().options();
  if (options.meshing() && NeedsLowerTiers(options.barrier())) Buffers().Enable();
}

bool IsPublishing() {
  Runtime* runtime = Runtime::IfUp();
  return runtime != nullptr && runtime->global().barrier().buffers().enabled();
}

bool MayBeMeshed(const void* address) {
  const SizeClass size_class = PageMap::Find(reinterpret_cast<uintptr_t>(address)).size_class();
  if (size_class == kProgramHeapClass) return true;
  return size_class < kClassCount && kSizeClasses[size_class].meshable;
}

Publication PublishBuffers(std::span<const Range> ranges) {
  Record* record = OwnRecord();
  return {record, Buffers().Publish(record, ranges)};
}

void WithdrawBuffers(const Publication& publication) {
  Buffers().Withdraw(static_cast<Record*>(publication.record), publication.token);
}

int ProgramSigaction(int (*libcs)(int, const struct sigaction*, struct sigaction*),
                     int signal_number, const struct sigaction* wanted, struct sigaction* before) {
  Runtime& runtime = Runtime::Get();
  // A vfork child has our memory, but dispositions of its own.
  if (!runtime.is_own_process()) return libcs(signal_number, wanted, before);
  return runtime.global().barrier().segv_handler().Sigaction(libcs, signal_number, wanted, before);
}

void SegvBlocked() { Runtime::Get().global().barrier().segv_handler().AwaitNoPass(); }

void LendStanding(Range range) {
  if (range.length == 0 || !MayBeMeshed(reinterpret_cast<void*>(range.address))) return;
  // A program that goes on lending others would fill any table: it meshes in the full tier alone.
  if (!Buffers().LendStanding(range)) AddressSpaceShared();
}

void PinStanding(Range range) {
  if (range.length == 0 || !MayBeMeshed(reinterpret_cast<void*>(range.address))) return;
  // No tier will do for more than the table holds.
  if (!Buffers().LendStanding(range, SyscallBuffers::Standing::kPinned)) {
    Runtime::Get().global().compactor().Stop();
  }
}

void EndStanding(const void* address) {
  Buffers().EndStanding(reinterpret_cast<uintptr_t>(address));
}

void ProtectionComing(Range range) {
  const uintptr_t first = range.address - range.address % kPageSize;
  // Whole segments are protected by nobody: what neither begins nor ends in one is not looked at.
  if (!MayBeMeshed(reinterpret_cast<void*>(first)) &&
      !MayBeMeshed(reinterpret_cast<void*>(range.end() - 1))) {
    return;
  }
  bool is_new = false;
  for (uintptr_t page = first; page < range.end(); page += kPageSize) {
    const Range one = {page, kPageSize};
    if (!MayBeMeshed(reinterpret_cast<void*>(page)) || Buffers().IsPinned(one)) continue;
    PinStanding(one);
    is_new = true;
  }
  if (!is_new || thread_state.is_busy) return;
  BusyScope busy;
  // A batch of the full tier that is under way has not seen them.
  MutexLock batch(Runtime::Get().global().compactor().lock());
}

void AddressSpaceShared() {
  Runtime& runtime = Runtime::Get();
  runtime.global().barrier().MarkAddressSpaceShared();
  if (!IsPublishing()) return;
  // A pass of the lower tiers that is under way has ended when all memory can be lent.
  WithdrawBuffers(PublishBuffers({&kAllMemory, 1}));
}

}  // namespace mesh
