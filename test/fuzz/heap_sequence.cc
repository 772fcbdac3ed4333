// See heap_sequence.h.
#include "test/fuzz/heap_sequence.h"

#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>

#include "src/base/check.h"
#include "src/runtime/heap.h"
#include "src/runtime/runtime.h"
#include "test/fuzz/input.h"
#include "test/oracle/lost_descriptors.h"
#include "test/oracle/shadow_model.h"
#include "test/os/fault_injector.h"

namespace mesh {
namespace {

constexpr size_t kMaxObjects = 2000;
// Forks of one input, in one of so many inputs: each costs as much as some thousand other
// operations.
constexpr int kMaxForks = 2;
constexpr uint32_t kInputsToAFork = 32;
// Large objects cost a page fault a page: few inputs have any, and few of those the largest, which
// would make nine tenths of all faults.
constexpr uint32_t kInputsToAMiddle = 4;
constexpr uint32_t kInputsToALarge = 16;
constexpr uint32_t kInputsToAHuge = 256;
constexpr size_t kUsualLargest = 8 << 10;
constexpr size_t kMiddleLargest = 64 << 10;
constexpr size_t kLargeLargest = 512 << 10;
// A heap whose pages have gone back costs the next input its faults anew: that is done at times.
constexpr uint64_t kInputsToAScavenge = 16;

constexpr BarrierTier kTiers[] = {BarrierTier::kAuto, BarrierTier::kUserfault,
                                  BarrierTier::kUserfaultUserOnly, BarrierTier::kSegv};

uint64_t sequences = 0;
uint64_t operations = 0;
// Of the fuzzer itself.
DescriptorSet descriptors;

void PrintCounts() {
  fprintf(stderr, "played %llu sequences, %llu operations\n",
          static_cast<unsigned long long>(sequences), static_cast<unsigned long long>(operations));
}

// Drawn from all bytes of an input: a fuzzer keeps what is costly, since that reaches more code,
// and would change everything about it but the byte that said so.
uint32_t DrawRare(const uint8_t* data, size_t size) {
  uint32_t drawn = 2166136261;  // FNV-1a
  for (size_t i = 0; i < size; i++) drawn = (drawn ^ data[i]) * 16777619;
  return drawn ^ drawn >> 16;
}

class Player {
 public:
  Player(const char* name, const uint8_t* data, size_t size, bool refusals)
      : input_(data, size), model_(name, 0, kMaxObjects), refusals_(refusals) {
    runtime_.set_period_ms(0);  // passes come from the input alone
    runtime_.global().backing().set_private_views(input_.Below(2) != 0);
    SetTier(input_.Byte());
    if (refusals) model_.AllowRefusals();
    uint32_t rare = DrawRare(data, size);
    SetLargest(rare % kInputsToAHuge);
    may_fork_ = rare / kInputsToAHuge % kInputsToAFork == 0;
  }

  void Play() {
    while (!input_.empty()) Act(input_.Byte());
    injector_.Reset();
    model_.CheckAll();
    runtime_.Compact();
    model_.CheckAll();
    CheckInvariants();
    model_.FreeAll();
    if (sequences % kInputsToAScavenge == 0) runtime_.Compact();
    ThreadLocalHeap* own = runtime_.AttachThread();
    if (own != nullptr) own->Flush(false);
    if (refusals_) CloseAllBut(runtime_.global(), descriptors);
    CheckEmpty();
    operations += model_.steps();
    sequences++;
  }

 private:
  void Act(uint8_t what) {
    for (int i = 0; i < (what & 15); i++) model_.Step(draw_);
    if (what >= 0xf8) runtime_.Compact();
    if ((what & 0xfc) == 0xf0) runtime_.global().Scavenge();
    if (what == 0xf4) model_.RewriteAll();
    if (what == 0xf5) Fork();
    if (what == 0xf6) LoseDescriptors(runtime_.global());
    if (what == 0xf7) SetTier(input_.Byte());
    if (refusals_ && (what & 0xf8) == 0xe8) Refuse();
    if (refusals_ && what == 0xe7) injector_.Reset();
    if (what >= 0xe0) operations++;
  }

  void SetLargest(uint32_t kind) {
    if (kind == 0) return;
    if (kind % kInputsToALarge == 0) return model_.set_largest(kLargeLargest);
    model_.set_largest(kind % kInputsToAMiddle == 0 ? kMiddleLargest : kUsualLargest);
  }

  void SetTier(uint8_t choice) {
    // The model lends none of this heap's memory to the kernel: all of it is published, so to say.
    runtime_.global().barrier().buffers().Enable();
    runtime_.global().barrier().Init(kTiers[choice % (sizeof(kTiers) / sizeof(kTiers[0]))]);
  }

  void Refuse() {
    os::Call call = static_cast<os::Call>(input_.Below(os::kCallKinds));
    // Memory that stays read-only, and cannot be replaced either, leaves no way out; nor does a
    // thread that stays deaf.
    bool may_last = call != os::Call::kUnprotect && call != os::Call::kSignalMask;
    int64_t nth = 1 + input_.Below(32);
    int64_t times = input_.Below(8);
    if (times == 0 && may_last) times = os::FaultInjector::kForever;
    injector_.Refuse(call, os::LikelyError(call), nth, times);
  }

  // The child has all objects, and a heap of its own to work with.
  void Fork() {
    if (!may_fork_ || ++forks_ > kMaxForks) return;
    pid_t child = fork();
    if (child == 0) {
      model_.CheckAll();
      for (int i = 0; i < 100; i++) model_.Step(draw_);
      runtime_.Compact();
      model_.RewriteAll();
      model_.CheckAll();
      _exit(0);
    }
    if (child < 0) return;
    int status = 0;
    // libFuzzer's clock signal interrupts calls.
    while (waitpid(child, &status, 0) != child) MESH_CHECK(errno == EINTR);
    // Where memory could not be separated from the parent's, the child ends before it begins. A
    // tier that was refused before the fork stays so until the next is chosen.
    MESH_CHECK(status == 0 || injector_.refused() > 0);
    model_.CheckAll();
  }

  void CheckInvariants() {
    for (SizeClassHeap& heap : runtime_.global().size_class_heaps()) heap.CheckInvariants();
    runtime_.global().arena().CheckInvariants();
  }

  void CheckEmpty() {
    CheckInvariants();
    for (SizeClassHeap& heap : runtime_.global().size_class_heaps()) {
      MESH_CHECK(heap.statistics().in_use == 0);
    }
    MESH_CHECK(runtime_.global().large_count() == 0);
    // What the kernel refused to take back may stay until it is needed again.
    if (!refusals_) MESH_CHECK(runtime_.global().backing().bytes_in_use() == 0);
  }

  Runtime& runtime_ = Runtime::Get();
  FuzzInput input_;
  ShadowModel model_;
  ShadowModel::Draw draw_ = [this](uint32_t bound) { return input_.Below(bound); };
  os::FaultInjector injector_;
  bool refusals_;
  bool may_fork_ = false;
  int forks_ = 0;
};

}  // namespace

void PlayHeapSequence(const char* name, const uint8_t* data, size_t size, bool refusals) {
  if (sequences == 0) {
    atexit(PrintCounts);
    descriptors = OpenDescriptors();
  }
  Player(name, data, size, refusals).Play();
}

}  // namespace mesh
