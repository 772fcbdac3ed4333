// See heap_sequence.h.
#include "test/fuzz/heap_sequence.h"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>

#include "src/base/check.h"
#include "src/runtime/heap.h"
#include "src/runtime/runtime.h"
#include "test/fuzz/input.h"
#include "test/fuzz/program_heaps_model.h"
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
// Levels of MESH_SECURE from which on what is behind an object, or freed, is looked at.
constexpr int64_t kCanaryLevel = 2;
constexpr int64_t kClearingLevel = 3;
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
      : input_(data, size),
        model_(name, 0, kMaxObjects),
        heaps_(name, model_, draw_),
        refusals_(refusals) {
    runtime_.set_period_ms(0);  // passes come from the input alone
    runtime_.global().backing().set_private_views(input_.Below(2) != 0);
    SetTier(input_.Byte());
    if (refusals) model_.AllowRefusals();
    if (refusals) heaps_.AllowRefusals();
    uint32_t rare = DrawRare(data, size);
    SetLargest(rare % kInputsToAHuge);
    may_fork_ = rare / kInputsToAHuge % kInputsToAFork == 0;
  }

  void Play() {
    while (!input_.empty()) Act(input_.Byte());
    injector_.Reset();
    CheckAll();
    runtime_.Compact();
    CheckAll();
    CheckInvariants();
    heaps_.EndAll();
    model_.FreeAll();
    if (sequences % kInputsToAScavenge == 0) runtime_.Compact();
    ThreadLocalHeap* own = runtime_.AttachThread();
    if (own != nullptr) own->Flush(ThreadLocalHeap::Flushing::kAll);
    if (refusals_) CloseAllBut(runtime_.global(), descriptors);
    CheckEmpty();
    operations += model_.steps() + heaps_.steps();
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
    if (what >= kProgramHeaps && what < kProgramHeaps + ProgramHeapsModel::kActs) {
      heaps_.Act(what - kProgramHeaps);
    }
    if (what >= kProgramHeaps) operations++;
  }

  void CheckAll() const {
    model_.CheckAll();
    heaps_.CheckAll();
  }

  void SetLargest(uint32_t kind) {
    if (kind == 0) return;
    size_t largest = kind % kInputsToAMiddle == 0 ? kMiddleLargest : kUsualLargest;
    if (kind % kInputsToALarge == 0) largest = kLargeLargest;
    model_.set_largest(largest);
    heaps_.set_largest(largest);
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
      CheckAll();
      for (int i = 0; i < 100; i++) model_.Step(draw_);
      for (int i = 0; i < 10; i++) {
        heaps_.Act(static_cast<uint8_t>(input_.Below(ProgramHeapsModel::kActs)));
      }
      runtime_.Compact();
      model_.RewriteAll();
      CheckAll();
      _exit(0);
    }
    if (child < 0) return;
    // Where memory could not be separated from the parent's, the child ends before it begins. A
    // tier that was refused before the fork stays so until the next is chosen.
    MESH_CHECK(EndOf(child) == 0 || injector_.refused() > 0);
    CheckAll();
    if (runtime_.options().secure() >= kCanaryLevel) CheckMisuse();
  }

  static int EndOf(pid_t child) {
    int status = 0;
    // libFuzzer's clock signal interrupts calls.
    while (waitpid(child, &status, 0) != child) MESH_CHECK(errno == EINTR);
    return status;
  }

  // A hardened heap ends a child that misuses it.
  void CheckMisuse() {
    const uint32_t kinds = runtime_.options().secure() >= kClearingLevel ? 4 : 3;
    const uint32_t kind = input_.Below(kinds);
    const size_t size = 1 + input_.Below(0x4000);
    pid_t child = fork();
    if (child == 0) {
      injector_.Reset();
      signal(SIGABRT, SIG_DFL);
      dup2(open("/dev/null", O_WRONLY), STDERR_FILENO);
      Misuse(kind, size);
      _exit(0);
    }
    if (child < 0) return;
    const int status = EndOf(child);
    MESH_CHECK((WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT) || injector_.refused() > 0);
  }

  void Misuse(uint32_t kind, size_t size) {
    // Not the first of its span.
    void* other = Malloc(size);
    auto* object = static_cast<char*>(Malloc(size));
    if (object == nullptr) abort();
    if (kind == 0) object[size] ^= 1;
    Free(object + (kind == 1 ? 16 : 0));
    if (kind == 2) Free(object);
    if (kind == 3) object[size - 1] ^= 1;
    for (int i = 0; i < 100; i++) model_.Step(draw_);
    Free(other);
    CheckAtExit();
  }

  void CheckInvariants() {
    for (SizeClassHeap& heap : runtime_.global().size_class_heaps()) heap.CheckInvariants();
    program_classes().ForEach([](SizeClassHeap& heap) { heap.CheckInvariants(); });
    runtime_.global().arena().CheckInvariants();
  }

  void CheckEmpty() {
    CheckInvariants();
    for (SizeClassHeap& heap : runtime_.global().size_class_heaps()) {
      MESH_CHECK(heap.statistics().in_use == 0);
    }
    program_classes().ForEach(
        [](SizeClassHeap& heap) { MESH_CHECK(heap.statistics().in_use == 0); });
    MESH_CHECK(runtime_.global().large_count() == 0);
    // What the kernel refused to take back may stay until it is needed again.
    if (!refusals_) MESH_CHECK(runtime_.global().backing().bytes_in_use() == 0);
  }

  const ProgramClassList& program_classes() const {
    return runtime_.global().program_heaps().classes();
  }

  // Of the operations' bytes, the first for a heap of the program's.
  static constexpr uint8_t kProgramHeaps = 0xe0;

  Runtime& runtime_ = Runtime::Get();
  FuzzInput input_;
  ShadowModel model_;
  ShadowModel::Draw draw_ = [this](uint32_t bound) { return input_.Below(bound); };
  ProgramHeapsModel heaps_;
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
