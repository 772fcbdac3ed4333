// Pacer: when work on the side may go on, and when there is none. Policy alone: time comes in,
// decisions go out, so that it can be tested without any.
//
//   news      the program has used the allocator since the last pass began
//   idle      the program uses less than a tenth of a processor
//   rest      after a slice, so long that the share of a processor is kept; none while idle
//   back-off  passes that gain nothing come ever more rarely, until the program goes quiet
//   dull      passes beside a busy program that gained too little for their time: the next ones get
//             a half, a quarter, an eighth of the share
//
// Room: runtime. Thread rule: one thread.
#pragma once

#include <cstdint>

namespace mesh {

// How long to rest after `spent_ns` of work, so that it is `cpu_percent` of the time on average.
constexpr uint64_t RestAfter(uint64_t spent_ns, uint32_t cpu_percent) {
  return spent_ns * (100 - cpu_percent) / cpu_percent;
}

class Pacer {
 public:
  struct Settings {
    uint64_t period_ns;    // least time between two passes; 0: there are none
    uint32_t cpu_percent;  // of one processor, 1 to 100
  };
  struct Situation {
    uint64_t now_ns;          // monotonic
    uint64_t activity;        // changes when the program uses the allocator's slow paths
    uint64_t program_cpu_ns;  // processor time of the program, without our own
  };
  enum class Act : uint8_t { kWork, kWait, kSleep };
  struct Decision {
    Act act;
    uint64_t ns;    // kWork: length of the slice. kWait: how long. kSleep: until there is activity.
    bool is_quiet;  // nothing has used the allocator for a while
  };
  struct Outcome {
    bool has_gained = false;    // memory was saved or given back
    bool is_complete = false;   // nothing is left to do but what may come
    uint64_t again_ns = 0;      // something is due then, also without news; 0: nothing is
    uint64_t gained_bytes = 0;  // as far as it is known
    bool has_left = false;      // what a pass will take when the program is quiet
  };

  // Slices: short beside a busy program; long enough beside an idle one that what each costs to
  // begin does not matter.
  static constexpr uint64_t kBusySliceNs = 1'000'000;
  static constexpr uint64_t kIdleSliceNs = 10'000'000;
  // A slice that took less did nothing: somebody else was at work.
  static constexpr uint64_t kLeastSliceNs = 20'000;
  // The longest back-off, and the longest wait in one piece: so soon is it seen that the program
  // has gone quiet.
  static constexpr uint64_t kMostDelayNs = 3'200'000'000;
  static constexpr uint64_t kGlanceNs = 400'000'000;
  // So long without activity is quiet.
  static constexpr uint64_t kQuietNs = 200'000'000;
  // What a pass has to gain in a millisecond, or it is dull. Meshing gains 150 to 250 KiB in one. A
  // pass that found nothing to look at takes less than this, and costs nothing worth saving.
  static constexpr uint64_t kLeastGainPerMs = uint64_t{64} * 1024;
  static constexpr uint64_t kLeastDullNs = 10'000'000;
  static constexpr uint32_t kMostDull = 3;
  // Over which the program's use of processors is looked at, and what counts as idle [percent].
  static constexpr uint64_t kWindowNs = 20'000'000;
  static constexpr uint64_t kIdlePercent = 10;

  Decision Next(const Settings& settings, const Situation& situation) {
    LookAt(situation);
    bool is_quiet = situation.now_ns - active_ns_ >= kQuietNs;
    uint64_t from_ns = not_before_ns_;
    if (!has_news_ && !has_rest_ && !has_left_) {
      if (due_ns_ == 0) return {Act::kSleep, 0, is_quiet};
      if (due_ns_ > from_ns) from_ns = due_ns_;
    }
    // Turned off for now.
    if (settings.period_ns == 0) return {Act::kWait, kMostDelayNs, is_quiet};
    bool may_hurry = (has_news_ || has_left_) && is_quiet && is_idle_;
    if (situation.now_ns < from_ns && !may_hurry) {
      uint64_t ns = from_ns - situation.now_ns;
      return {Act::kWait, ns < kGlanceNs ? ns : kGlanceNs, is_quiet};
    }
    has_news_ = false;
    if (delay_ns_ < settings.period_ns) delay_ns_ = settings.period_ns;
    return {Act::kWork, is_idle_ ? kIdleSliceNs : kBusySliceNs, is_quiet};
  }

  // The slice that Next() asked for took `spent_ns` of a processor.
  void Done(const Settings& settings, uint64_t now_ns, uint64_t spent_ns, const Outcome& outcome) {
    Judge(spent_ns, outcome);
    uint64_t rest_ns = is_idle_ ? 0 : RestAfter(spent_ns, settings.cpu_percent) << dull_;
    has_rest_ = !outcome.is_complete || outcome.has_gained;
    due_ns_ = outcome.again_ns;
    if (!outcome.is_complete) {
      bool has_worked = outcome.has_gained || spent_ns >= kLeastSliceNs;
      if (!has_worked && rest_ns < settings.period_ns) rest_ns = settings.period_ns;
      not_before_ns_ = now_ns + rest_ns;
      return;
    }
    if (outcome.has_gained && (is_idle_ || dull_ == 0)) {
      delay_ns_ = settings.period_ns;
    } else if (delay_ns_ < kMostDelayNs) {
      delay_ns_ *= 2;
    }
    not_before_ns_ = now_ns + (delay_ns_ > rest_ns ? delay_ns_ : rest_ns);
  }

  // The activity that the last Next() has seen.
  uint64_t activity() const { return activity_; }

 private:
  // Whether the pass that this slice belongs to is worth its time.
  void Judge(uint64_t spent_ns, const Outcome& outcome) {
    pass_ns_ += spent_ns;
    pass_bytes_ += outcome.gained_bytes;
    if (pass_bytes_ > 0 && pass_bytes_ / kLeastGainPerMs >= pass_ns_ / 1'000'000) {
      dull_ = 0;
    } else if (outcome.is_complete && !is_idle_ && pass_ns_ >= kLeastDullNs && dull_ < kMostDull) {
      dull_++;
    }
    pass_left_ |= outcome.has_left;
    if (!outcome.is_complete) return;
    has_left_ = pass_left_;
    pass_left_ = false;
    pass_ns_ = pass_bytes_ = 0;
  }

  void LookAt(const Situation& situation) {
    if (situation.activity != activity_) {
      activity_ = situation.activity;
      active_ns_ = situation.now_ns;
      has_news_ = true;
    }
    uint64_t wall = situation.now_ns - window_ns_;
    if (wall < kWindowNs) return;
    // A difference of two clocks, which may go back a little.
    uint64_t now_cpu = situation.program_cpu_ns;
    uint64_t cpu = now_cpu > window_cpu_ns_ ? now_cpu - window_cpu_ns_ : 0;
    is_idle_ = window_ns_ != 0 && cpu * 100 <= wall * kIdlePercent;
    window_ns_ = situation.now_ns;
    window_cpu_ns_ = situation.program_cpu_ns;
  }

  uint64_t activity_ = 0;
  uint64_t active_ns_ = 0;  // when it changed last
  uint64_t window_ns_ = 0;
  uint64_t window_cpu_ns_ = 0;
  uint64_t delay_ns_ = 0;
  uint64_t not_before_ns_ = 0;
  uint64_t due_ns_ = 0;   // Outcome::again_ns
  uint64_t pass_ns_ = 0;  // spent in this pass, and gained
  uint64_t pass_bytes_ = 0;
  bool pass_left_ = false;
  uint32_t dull_ = 0;
  bool has_news_ = false;
  bool has_rest_ = false;
  bool has_left_ = false;
  bool is_idle_ = false;
};

// The same for slices of a pass on slow paths of the program, beside their rests: how long the next
// has to wait, if the last one had to wait for `last_ns`.
constexpr uint64_t DelayAfterSlice(uint64_t last_ns, uint64_t period_ns, bool is_complete,
                                   bool has_gained) {
  if (has_gained) return 0;
  if (!is_complete || last_ns < period_ns) return period_ns;
  const uint64_t most_ns = Pacer::kMostDelayNs > period_ns ? Pacer::kMostDelayNs : period_ns;
  return 2 * last_ns < most_ns ? 2 * last_ns : most_ns;
}

}  // namespace mesh
