// RunClearer: makes a run of pages that was used read zeros.
//
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

class RunClearer {
 public:
  constexpr RunClearer() = default;

  // Cost: a system call for 2 MiB, and one for each piece between pages that are there.
  void Clear(uintptr_t address, size_t pages);

  // The program puts itself under a filter, which may kill for asking: four pages are looked at
  // from now on, to tell a run that is there from one that is not.
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
