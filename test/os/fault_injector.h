// FaultInjector: counts the system calls of Mesh by kind and refuses chosen ones.
//
// While one lives it is the hook of src/os/fault_injection.h. At most one at a time.
// Thread rule: Refuse and Reset by the test's thread; the hook itself by any.
#pragma once

#include <atomic>
#include <cerrno>
#include <cstdint>

#include "src/os/fault_injection.h"

namespace mesh::os {

// The error that a refused call of this kind is most likely to bring.
int LikelyError(Call call);

class FaultInjector {
 public:
  static constexpr int64_t kForever = INT64_MAX;

  FaultInjector();
  ~FaultInjector();
  FaultInjector(const FaultInjector&) = delete;
  FaultInjector& operator=(const FaultInjector&) = delete;

  // From now on the nth call of the kind (1 is the next one) and the `times - 1` after it fail.
  void Refuse(Call call, int error, int64_t nth = 1, int64_t times = 1);

  // The same for calls of any kind, counted together.
  void RefuseAny(int error, int64_t nth = 1, int64_t times = 1);

  // RefuseAny() leaves calls of this kind alone, and does not count them, from now on.
  void Spare(Call call) { is_spared_[static_cast<int>(call)] = true; }

  // Lets all calls through and sets all counts to 0.
  void Reset();

  int64_t count(Call call) const { return kinds_[static_cast<int>(call)].count; }
  int64_t total() const { return any_.count; }
  int64_t refused() const { return refused_; }

 private:
  struct Rule {
    std::atomic<int64_t> count{0};
    std::atomic<int64_t> first{0};  // counts from `first` up to but not including `end` fail
    std::atomic<int64_t> end{0};
    std::atomic<int> error{0};

    int Next();
    void Set(int with_error, int64_t nth, int64_t times);
    void Clear();
  };

  static int Hook(Call call);

  Rule kinds_[kCallKinds];
  Rule any_;
  bool is_spared_[kCallKinds] = {};
  std::atomic<int64_t> refused_{0};
};

}  // namespace mesh::os
