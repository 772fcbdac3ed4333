// Residency: which pages of a run that was used have memory behind them, and what follows from
// that.
//
// A run is made to read zeros in one of two ways.
// Writing zeros over memory that is there costs a fifth of dropping the pages, which is a fault for
// each page that is used again; writing them where nothing is costs both, and the memory. So the
// kernel is asked which pages are there (mincore): those are written to, and what lies between is
// dropped, as its memory may be swapped out, which mincore does not tell.
// Room: arena. Thread rule: any thread, on runs of its own.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace mesh {

class Residency {
 public:
  constexpr Residency() = default;

  // Makes the run read zeros. Cost: a system call for 2 MiB, and for each piece that is dropped.
  void Clear(uintptr_t address, size_t pages);

  // About how many of the pages have memory; all, where that cannot be asked.
  // Cost: a few microseconds, however long the run is.
  size_t Estimate(uintptr_t address, size_t pages);

  // The program puts itself under a filter, which may kill for asking. From now on a look at four
  // pages tells a run that is there from one that is not.
  void StopAsking() {
    // order: relaxed; a switch, publishes nothing.
    may_ask_.store(Answer::kNo, std::memory_order_relaxed);
  }

 private:
  enum class Answer : uint8_t { kUnknown, kYes, kNo };

  bool MayAsk();

  std::atomic<Answer> may_ask_{Answer::kUnknown};
};

}  // namespace mesh
