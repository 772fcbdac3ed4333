// Runtime, the half for work on the side: by the background thread, on slow paths, before a sleep.
#include <algorithm>

#include "src/base/units.h"
#include "src/os/process.h"
#include "src/runtime/runtime.h"
#include "src/runtime/thread_state.h"

namespace mesh {
namespace {

// A slice of a pass on a thread of the program. A batch that has begun is finished.
constexpr uint64_t kSliceNs = kNsPerMs;
// Time between two looks for copies of meshed pages: what is stored to more often stays copied for
// the better part of it, and folding a span costs about ten microseconds. Looks that find nothing
// come more rarely.
constexpr uint64_t kFoldPeriodNs = 5000 * kNsPerMs;
constexpr uint64_t kMostFoldPeriodNs = 80'000 * kNsPerMs;
// A program that never sleeps pays for a pass in a few periods only, unless that gains; its sparse
// spans are still there when it does.
constexpr uint64_t kBusyPeriods = 4;
// Time between two looks for threads that rest. What they hold goes when two in a row have found
// the same rest; without news there are some looks more, ever more rarely, and then none.
constexpr uint64_t kRestLookNs = 200 * kNsPerMs;
constexpr uint64_t kMostRestLookNs = 8 * kRestLookNs;
// Without anything to do for so long, a program of one thread counts as idle: the rests that it is
// owed while it is busy are over.
constexpr uint64_t kIdleAfterNs = Pacer::kWindowNs;
// Memory that a thread of the program returns at a time: a few hundred microseconds.
constexpr size_t kReturnBytes = 4 * kMiB;
// Slow paths between two looks at the clock.
constexpr uint64_t kClockInterval = 16;

// Of two times, of which 0 is never.
uint64_t Sooner(uint64_t a, uint64_t b) { return a == 0 || (b != 0 && b < a) ? b : a; }

}  // namespace

void Runtime::InitBackground() {
  bool may_work = options_.period_ms() != 0 && (meshing_ || options_.freephys_thread());
  if (options_.background_thread() == BackgroundChoice::kNever) may_work = false;
  threads_.Init([] { Get().background_.Stop(); });
  BackgroundThread::Job job;
  job.context = this;
  job.settings = [](void* self) {
    return Pacer::Settings{
        static_cast<Runtime*>(self)->period_ms() * kNsPerMs,
        static_cast<uint32_t>(static_cast<Runtime*>(self)->options_.cpu_percent())};
  };
  job.activity = [](void* self) { return static_cast<Runtime*>(self)->Activity(); };
  job.turn = [](void* self, uint64_t length_ns, bool is_quiet) {
    return static_cast<Runtime*>(self)->Turn(length_ns, is_quiet);
  };
  job.is_urgent = [](void* self) {
    return static_cast<Runtime*>(self)->global_.arena().has_excess();
  };
  job.work_urgently = [](void* self) {
    static_cast<Runtime*>(self)->global_.arena().ReturnExcess();
  };
  background_.Init(job);
  // order: relaxed; see wants_background().
  wants_background_.store(may_work, std::memory_order_relaxed);
}

// What the background thread does in a slice.
Pacer::Outcome Runtime::Turn(uint64_t length_ns, bool is_quiet) {
  ServeRequest();
  global_.arena().set_defers_return(options_.freephys_thread());
  uint64_t now = os::MonotonicNs();
  const bool has_emptied = EmptyRestingIfDue(now);
  PassResult pass = {0, true};
  const auto whose = GlobalHeap::TimeOf::kBackground;
  if (meshing_) pass = global_.CompactBriefly(now + length_ns, whose, !is_quiet);
  Pacer::Outcome outcome;
  outcome.has_gained = has_emptied || pass.freed > 0;
  outcome.gained_bytes = pass.freed;
  outcome.is_complete = pass.is_complete;
  outcome.has_left = pass.has_kept;
  if (!pass.is_complete) return outcome;
  const bool has_folded = FoldIfDue(now, length_ns, whose);
  outcome.again_ns = Sooner(NextFold(), next_rest_look_ns_);
  const size_t returned = ReturnPages(is_quiet, SIZE_MAX);
  outcome.gained_bytes += returned;
  if (has_folded || returned > 0) outcome.has_gained = true;
  return outcome;
}

bool Runtime::EmptyRestingIfDue(uint64_t now_ns) {
  const uint64_t activity = Activity();
  if (activity != rest_look_activity_ && rest_look_period_ns_ != kRestLookNs) {
    rest_look_period_ns_ = kRestLookNs;
    next_rest_look_ns_ = now_ns + kRestLookNs;
  }
  if (next_rest_look_ns_ == 0 || now_ns < next_rest_look_ns_) return false;
  const bool has_emptied = registry_.EmptyResting(false) > 0;
  const bool has_news = activity != rest_look_activity_;
  rest_look_activity_ = activity;
  rest_look_period_ns_ = has_news ? kRestLookNs : 2 * rest_look_period_ns_;
  next_rest_look_ns_ = rest_look_period_ns_ <= kMostRestLookNs ? now_ns + rest_look_period_ns_ : 0;
  return has_emptied;
}

bool Runtime::FoldIfDue(uint64_t now_ns, uint64_t length_ns, GlobalHeap::TimeOf whose) {
  // order: relaxed; clocks and a counter, publish nothing.
  if (!meshing_ || now_ns < next_fold_ns_.load(std::memory_order_relaxed)) return false;
  uint64_t activity = Activity();
  bool has_saved = global_.FoldBriefly(os::MonotonicNs() + length_ns, whose);
  uint64_t period = kFoldPeriodNs;
  if (!has_saved) {
    period = std::max(fold_period_ns_.load(std::memory_order_relaxed), kFoldPeriodNs) * 2;
    if (period > kMostFoldPeriodNs) period = kMostFoldPeriodNs;
    fold_activity_.store(activity, std::memory_order_relaxed);
  }
  fold_period_ns_.store(period, std::memory_order_relaxed);
  next_fold_ns_.store(now_ns + period, std::memory_order_relaxed);
  return has_saved;
}

// When the next fold is due; 0 when nothing has happened since the last that found nothing.
uint64_t Runtime::NextFold() const {
  // order: relaxed; see FoldIfDue().
  bool has_news = fold_activity_.load(std::memory_order_relaxed) != Activity();
  if (!meshing_ || !has_news || !global_.has_private_views()) return 0;
  return next_fold_ns_.load(std::memory_order_relaxed);
}

void Runtime::OnSlowPath() {
  ServeRequest();
  // order: seq_cst; see BackgroundThread::NoteActivity().
  uint64_t before = slow_paths_.fetch_add(1, std::memory_order_seq_cst);
  if (background_.is_running()) {
    background_.NoteActivity(global_.arena().has_excess());
    return;
  }
  if (before % kClockInterval != 0) return;
  Work(os::MonotonicNs());
}

// On a slow path of a program without a background thread.
void Runtime::Work(uint64_t now_ns) {
  // order: relaxed; a setting, and a clock of which one thread gets hold.
  uint64_t period = period_ns_.load(std::memory_order_relaxed) * kBusyPeriods;
  uint64_t next = next_pass_ns_.load(std::memory_order_relaxed);
  if (period == 0 || now_ns < next) return;
  if (!next_pass_ns_.compare_exchange_strong(next, now_ns + period, std::memory_order_relaxed)) {
    return;
  }
  // Either, so that no thread is held up for both.
  const bool was_meshing = has_just_meshed_.load(std::memory_order_relaxed);
  const bool is_due = meshing_ && now_ns >= next_mesh_ns_.load(std::memory_order_relaxed);
  const bool meshes = is_due && !was_meshing;
  bool has_more = true;
  if (meshes) {
    MeshSlice(now_ns, period);
  } else {
    has_more = ReturnPages(false, kReturnBytes) >= kReturnBytes || is_due;
  }
  has_just_meshed_.store(meshes, std::memory_order_relaxed);
  uint64_t end_ns = os::MonotonicNs();
  uint32_t percent = static_cast<uint32_t>(options_.cpu_percent());
  uint64_t rest_ns = RestAfter(end_ns - now_ns, percent);
  if (!has_more && rest_ns < period) rest_ns = period;
  next_pass_ns_.store(end_ns + rest_ns, std::memory_order_relaxed);
}

void Runtime::MeshSlice(uint64_t now_ns, uint64_t period_ns) {
  const auto whose = GlobalHeap::TimeOf::kWorker;
  PassResult pass = global_.CompactBriefly(now_ns + kSliceNs, whose, true);
  bool has_gained = pass.freed > 0;
  if (FoldIfDue(now_ns, kSliceNs, whose)) has_gained = true;
  // order: relaxed; clocks, as in Work().
  if (pass.is_complete && !has_gained) {
    next_idle_ns_.store(now_ns + period_ms() * kNsPerMs, std::memory_order_relaxed);
  }
  uint64_t delay_ns = DelayAfterSlice(mesh_delay_ns_.load(std::memory_order_relaxed), period_ns,
                                      pass.is_complete, has_gained);
  mesh_delay_ns_.store(delay_ns, std::memory_order_relaxed);
  next_mesh_ns_.store(now_ns + delay_ns, std::memory_order_relaxed);
}

uint64_t Runtime::IdleWorkIn(uint64_t slept_ns) {
  ServeRequest();
  // order: relaxed; clocks and counters of a program that has time, publish nothing.
  if (background_.is_running() || period_ns_.load(std::memory_order_relaxed) == 0) {
    return kNoIdleWork;
  }
  uint64_t now = os::MonotonicNs();
  // A program that has slept a while is idle, however busy it was before.
  uint64_t idle_ns = now + (slept_ns < kIdleAfterNs ? kIdleAfterNs - slept_ns : 0);
  idle_ns = std::max(idle_ns, next_idle_ns_.load(std::memory_order_relaxed));
  uint64_t due_ns = std::min(next_pass_ns_.load(std::memory_order_relaxed), idle_ns);
  if (Activity() == done_activity_.load(std::memory_order_relaxed)) {
    uint64_t fold_ns = NextFold();
    if (fold_ns == 0 && !has_dirty_pages()) return kNoIdleWork;
    if (!has_dirty_pages()) due_ns = std::max(due_ns, fold_ns);
  }
  return due_ns > now ? due_ns - now : 0;
}

bool Runtime::IdleSlice(bool has_napped) {
  uint64_t now = os::MonotonicNs();
  uint64_t activity = Activity();
  // order: relaxed; see IdleWorkIn().
  bool is_quiet = has_napped || activity == done_activity_.load(std::memory_order_relaxed);
  PassResult pass = {0, true};
  const auto whose = GlobalHeap::TimeOf::kSleeper;
  if (meshing_) pass = global_.CompactBriefly(now + kSliceNs, whose, false);
  bool is_at_work = pass.freed > 0 || os::MonotonicNs() - now >= Pacer::kLeastSliceNs;
  if (!pass.is_complete && is_at_work) return true;
  // A pass that has gained is followed by another: mappings may be counted anew.
  bool has_gained = pass.freed > 0;
  if (FoldIfDue(now, kSliceNs, whose)) has_gained = true;
  if (ReturnPages(is_quiet, kReturnBytes) >= kReturnBytes) has_gained = true;
  if (has_gained) return true;
  if (pass.is_complete) done_activity_.store(activity, std::memory_order_relaxed);
  uint64_t period = period_ns_.load(std::memory_order_relaxed);
  uint64_t next_ns = os::MonotonicNs() + period;
  next_pass_ns_.store(next_ns, std::memory_order_relaxed);
  next_idle_ns_.store(next_ns, std::memory_order_relaxed);
  return false;
}

// What no one has needed for a period is halved; all goes when nothing uses the heap; about
// `most_bytes` at a time. Returns: bytes returned.
size_t Runtime::ReturnPages(bool is_quiet, size_t most_bytes) {
  Arena& arena = global_.arena();
  size_t returned = is_quiet ? arena.Purge(0, most_bytes) : arena.PurgeUnused(most_bytes);
  // order: relaxed; see has_dirty_pages().
  has_dirty_pages_.store(arena.statistics().dirty_bytes > 0, std::memory_order_relaxed);
  return returned;
}

bool Runtime::has_leftovers() const {
  const ThreadLocalHeap* heap = OwnHeap();
  return has_dirty_pages() || (heap != nullptr && heap->has_below_tops());
}

void Runtime::FlushOwnHeap(ThreadLocalHeap::Flushing how) {
  if (ThreadLocalHeap* heap = OwnHeap(); heap != nullptr) heap->Flush(how);
}

void Runtime::IdleInterrupted() {
  uint32_t percent = static_cast<uint32_t>(options_.cpu_percent());
  // order: relaxed; see IdleWorkIn().
  next_pass_ns_.store(os::MonotonicNs() + RestAfter(kSliceNs, percent), std::memory_order_relaxed);
}

}  // namespace mesh
