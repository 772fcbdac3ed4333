// Every kernel refusal is survived: a whole life of a process's heap, from its first malloc on,
// with the n-th system call of each kind refused, once and from then on, for n = 1, 2, ... until
// the life makes fewer calls of that kind.
//
// Each life is a process of its own (this one never brings up a heap). It allocates in one thread
// and in three, grows and shrinks large objects, compacts, forks, and goes on in the child.
// Whatever is refused, it may find that there is no memory; every object keeps its contents, nobody
// aborts, and once the kernel gives again, the heap is as good as new.
//
// MESH_TEST_EVERY_CALL=1 tries every n; otherwise n is 1, 4, 16, ...
// MESH_TEST_NTH begins with another n, MESH_TEST_SEED repeats a run (as far as threads let it).
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "src/runtime/heap.h"
#include "src/runtime/hooks.h"
#include "src/runtime/runtime.h"
#include "test/oracle/lost_descriptors.h"
#include "test/oracle/shadow_model.h"
#include "test/os/fault_injector.h"

namespace mesh {
namespace {

using os::Call;
using os::FaultInjector;

// What is refused, and what came of it; shared with the process that lives.
struct Life {
  bool any_kind = false;
  Call call = Call::kReserve;
  int64_t nth = 1;
  int64_t times = 1;
  uint64_t seed = 1;
  std::atomic<int64_t> calls{0};
  std::atomic<int64_t> refused{0};
  std::atomic<int64_t> forks_refused{0};
};

[[noreturn]] void Fail(const char* what) {
  fprintf(stderr, "%s\n", what);
  _exit(1);
}

// Longer objects show nothing new and take time to fill.
constexpr size_t kLargest = size_t{200} << 10;

// A life takes a tenth of a second; one that hangs is ended by SIGALRM.
constexpr unsigned int kLongestLifeSeconds = 60;

class Liver {
 public:
  Liver(Life& life, bool may_be_refused) : life_(life), may_be_refused_(may_be_refused) {}

  void Live() {
    ShadowModel model("refusals", life_.seed, 1500);
    Prepare(model);
    Step(model, 2000);
    runtime_.Compact();
    model.CheckAll();
    model.RewriteAll();
    MeshAndFree();
    LiveBesideThreads(model);
    GrowLargeObject();
    Fork(model);
    Step(model, 500);
    LoseDescriptors(runtime_.global());
    runtime_.Compact();
    model.CheckAll();
    Fork(model);
    model.FreeAll();
    runtime_.global().Scavenge();
    runtime_.Compact();
    CheckInvariants();
  }

 private:
  void Step(ShadowModel& model, int steps) {
    ShadowModel::Draw draw = [this](uint32_t bound) {
      return static_cast<uint32_t>(generator_() % bound);
    };
    for (int i = 0; i < steps; i++) model.Step(draw);
  }

  void Prepare(ShadowModel& model) {
    model.set_largest(kLargest);
    if (may_be_refused_) model.AllowRefusals();
  }

  // Whole groups come and go: their pages go back to the system.
  void MeshAndFree() {
    constexpr size_t kObjects = 3000;
    std::vector<void*> objects;
    for (size_t i = 0; i < kObjects; i++) objects.push_back(Malloc(200));
    for (size_t i = 0; i < kObjects; i++) {
      if (i % 8 != 0) Free(objects[i]);
    }
    runtime_.Compact();
    for (size_t i = 0; i < kObjects; i += 8) Free(objects[i]);
    runtime_.Compact();
  }

  // Passes while threads store to their objects; these end, and their objects are freed here.
  void LiveBesideThreads(ShadowModel& model) {
    constexpr size_t kThreads = 2;
    std::vector<ShadowModel> models(kThreads, ShadowModel("refusals in threads", life_.seed, 400));
    std::vector<std::thread> threads;
    std::atomic<bool> is_over = false;
    for (size_t i = 0; i < kThreads; i++) {
      Prepare(models[i]);
      threads.emplace_back([&, i] {
        std::mt19937 generator(static_cast<uint32_t>(life_.seed + i));
        while (!is_over) {
          models[i].Step(
              [&](uint32_t bound) { return static_cast<uint32_t>(generator() % bound); });
        }
        models[i].CheckAll();
      });
    }
    for (int i = 0; i < 4; i++) {
      Step(model, 300);
      runtime_.Compact();
      model.CheckAll();
    }
    is_over = true;
    for (std::thread& thread : threads) thread.join();
    runtime_.Compact();
    for (ShadowModel& other : models) other.FreeAll();
  }

  void GrowLargeObject() {
    size_t size = size_t{300} << 10;
    auto* object = static_cast<char*>(Malloc(size));
    if (object == nullptr && !may_be_refused_) Fail("no large object");
    if (object == nullptr) return;
    for (size_t wanted : {size_t{1} << 20, size_t{40} << 20, size_t{200} << 10}) {
      object[0] = object[size - 1] = 77;
      auto* moved = static_cast<char*>(Realloc(object, wanted));
      if (moved == nullptr && !may_be_refused_) Fail("no larger object");
      if (moved != nullptr) {
        object = moved;
        if (wanted < size) object[wanted - 1] = 77;
        size = wanted;
      }
      if (object[0] != 77) Fail("the head of a large object is lost");
    }
    Free(object);
  }

  // As libmesh's fork(). The child has all objects, and works on.
  void Fork(ShadowModel& model) {
    ForkPermit permit = BeforeFork();
    if (permit == ForkPermit::kRefused) {
      if (!may_be_refused_) Fail("no fork");
      life_.forks_refused++;
      return;
    }
    pid_t child = fork();
    if (child == 0) {
      alarm(kLongestLifeSeconds);
      model.CheckAll();
      Step(model, 300);
      runtime_.Compact();
      model.RewriteAll();
      model.CheckAll();
      CheckInvariants();
      _exit(0);
    }
    AfterFork(permit);
    model.RewriteAll();
    int status = 0;
    if (child < 0 || waitpid(child, &status, 0) != child) Fail("no child");
    if (status != 0) Fail("a child has failed");
    model.CheckAll();
  }

  void CheckInvariants() {
    for (SizeClassHeap& heap : runtime_.global().size_class_heaps()) heap.CheckInvariants();
    runtime_.global().arena().CheckInvariants();
  }

  Life& life_;
  bool may_be_refused_;
  Runtime& runtime_ = Runtime::Get();
  std::mt19937 generator_{static_cast<uint32_t>(life_.seed)};
};

void PrepareRuntime() {
  Runtime& runtime = Runtime::Get();
  runtime.set_period_ms(0);
  BarrierChoice choice = runtime.options().barrier();
  if (choice == BarrierChoice::kSegv || choice == BarrierChoice::kUserfaultUser) {
    // These threads lend no memory of this heap to the kernel: all of it is published, so to say.
    runtime.global().barrier().buffers().Enable();
  }
}

// A thread that stays deaf: there is no way out.
bool MustEnd(Call call) { return call == Call::kSignalMask; }

[[noreturn]] void LiveAndDie(Life& life) {
  alarm(kLongestLifeSeconds);
  FaultInjector injector;
  int error = os::LikelyError(life.call);
  if (life.any_kind) {
    // Memory that stays read-only, and cannot be replaced either.
    injector.Spare(Call::kUnprotect);
    injector.Spare(Call::kSignalMask);
    // fstat(2) of a descriptor that is open has no reason to fail, and it says what is ours to
    // close.
    injector.Spare(Call::kStat);
    injector.RefuseAny(ENOMEM, life.nth, life.times);
  } else {
    injector.Refuse(life.call, error, life.nth, life.times);
  }
  PrepareRuntime();
  Liver(life, true).Live();
  life.calls = life.any_kind ? injector.total() : injector.count(life.call);
  life.refused = injector.refused();
  injector.Reset();
  Liver(life, false).Live();
  for (SizeClassHeap& heap : Runtime::Get().global().size_class_heaps()) {
    if (heap.statistics().in_use != 0) Fail("objects are left");
  }
  if (Runtime::Get().global().large_count() != 0) Fail("large objects are left");
  _exit(0);
}

uint64_t NumberFrom(const char* variable, uint64_t otherwise) {
  const char* text = getenv(variable);
  return text != nullptr ? strtoull(text, nullptr, 10) : otherwise;
}

struct Case {
  bool any_kind;
  Call call;
  bool for_ever;
};

class RefusalsTest : public testing::TestWithParam<Case> {
 protected:
  RefusalsTest() {
    void* page =
        mmap(nullptr, sizeof(Life), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    life_ = new (page) Life;
    life_->any_kind = GetParam().any_kind;
    life_->call = GetParam().call;
    life_->seed = NumberFrom("MESH_TEST_SEED", 1);
    life_->nth = static_cast<int64_t>(NumberFrom("MESH_TEST_NTH", 1));
  }
  ~RefusalsTest() override { munmap(life_, sizeof(Life)); }

  // Lives once. Returns whether the kernel refused anything.
  bool LiveOnce() {
    life_->calls = life_->refused = 0;
    fflush(nullptr);
    pid_t child = fork();
    if (child == 0) LiveAndDie(*life_);
    int status = 0;
    EXPECT_EQ(waitpid(child, &status, 0), child);
    EXPECT_EQ(status, 0) << "call " << life_->nth;
    lives_++;
    refused_ += life_->refused;
    return life_->calls >= life_->nth;
  }

  Life* life_;
  int64_t lives_ = 0;
  int64_t refused_ = 0;
};

TEST_P(RefusalsTest, NothingIsLost) {
  bool every_call = NumberFrom("MESH_TEST_EVERY_CALL", 0) != 0;
  bool was_refused = true;
  while (was_refused && !HasFailure()) {
    life_->times = GetParam().for_ever ? FaultInjector::kForever : 1;
    was_refused = LiveOnce();
    life_->nth += every_call ? 1 : 3 * life_->nth;
  }
  printf("%lld lives, %lld calls refused, %lld forks among them; n to %lld\n",
         static_cast<long long>(lives_), static_cast<long long>(refused_),
         static_cast<long long>(life_->forks_refused.load()), static_cast<long long>(life_->nth));
}

std::vector<Case> AllCases() {
  std::vector<Case> cases;
  for (bool for_ever : {false, true}) {
    cases.push_back({true, Call::kReserve, for_ever});
    for (int i = 0; i < os::kCallKinds; i++) {
      Call call = static_cast<Call>(i);
      if (!for_ever || !MustEnd(call)) cases.push_back({false, call, for_ever});
    }
  }
  return cases;
}

std::string NameOf(const testing::TestParamInfo<Case>& info) {
  std::string name = info.param.any_kind ? "any" : os::CallName(info.param.call);
  for (char& c : name) {
    if (c == ' ') c = '_';
  }
  return name + (info.param.for_ever ? "_for_ever" : "_once");
}

INSTANTIATE_TEST_SUITE_P(Calls, RefusalsTest, testing::ValuesIn(AllCases()), NameOf);

}  // namespace
}  // namespace mesh
