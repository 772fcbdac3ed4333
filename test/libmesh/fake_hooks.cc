// See fake_hooks.h.
#include "test/libmesh/fake_hooks.h"

#include <cstdint>

#include "src/runtime/heap.h"
#include "src/runtime/hooks.h"

namespace mesh {
namespace {

const void* arena_begin = nullptr;
const void* arena_end = nullptr;

void Note(const std::string& call) {
  if (!hook_calls.empty()) hook_calls += " ";
  hook_calls += call;
}

}  // namespace

std::string hook_calls;

void SetArena(const void* begin, const void* end) {
  arena_begin = begin;
  arena_end = end;
}

bool Owns(const void* address) { return address >= arena_begin && address < arena_end; }

// Three looks, a nap of a millisecond, and then the wait itself, if there is work.
int idle_slices = 0;

uint64_t Doze::left_ns() const { return longest_ns_; }
uint64_t Doze::Finish() {
  is_over_ = true;
  return longest_ns_;
}
uint64_t Doze::NextWait() {
  if (!has_looked_) Note("block");
  has_looked_ = true;
  if (idle_slices == 0) return Finish();
  began_ns_ = 1;
  idle_slices--;
  return idle_slices == 0 ? 1'000'000 : 0;
}
Doze::~Doze() = default;

RestScope::RestScope() { Note("rest"); }
RestScope::~RestScope() { Note("awake"); }

int CreateThread(ThreadCreator* libcs, pthread_t* thread, const pthread_attr_t* attributes,
                 void* (*function)(void*), void* argument) {
  Note("thread");
  return libcs(thread, attributes, function, argument);
}
int CreateC11Thread(C11ThreadCreator* libcs, ThreadCreator*, thrd_t* thread, thrd_start_t function,
                    void* argument) {
  Note("thrd");
  return libcs(thread, function, argument);
}
void ProgramBegins(ThreadCreator*) {}
void BeforeSoleThreadCall() { Note("sole"); }
bool is_fork_refused = false;

ForkPermit BeforeFork() {
  Note("permit");
  return is_fork_refused ? ForkPermit::kRefused : ForkPermit::kHeld;
}
void AfterFork(ForkPermit permit) { Note(permit == ForkPermit::kHeld ? "resume" : "wrong"); }

bool BeforeForkRaw() {
  Note("fork");
  return !is_fork_refused;
}
void AfterForkParent() { Note("parent"); }
void AfterForkChild() { Note("child"); }
void AddressSpaceShared() { Note("shared"); }
void FilterComing(const void* program) { Note(program == nullptr ? "strict" : "filter"); }

bool DescriptorsClosing(unsigned int first, unsigned int last) {
  Note("close:" + std::to_string(first) + "-" + std::to_string(last));
  return true;
}
void DescriptorsClosed() { Note("closed"); }

bool is_publishing = false;

void InterpositionInForce() {}
bool IsPublishing() { return is_publishing; }
bool MayBeMeshed(const void* address) { return Owns(address); }

Publication PublishBuffers(std::span<const Range> ranges) {
  std::string call = "lend";
  for (const Range& range : ranges) {
    const bool is_all = range.address == 0 && range.length == SIZE_MAX;
    call += is_all ? ":all" : ":" + std::to_string(range.length);
  }
  Note(call);
  return {};
}
void WithdrawBuffers(const Publication&) { Note("back"); }

void LendStanding(Range range) {
  if (MayBeMeshed(reinterpret_cast<void*>(range.address))) {
    Note("keep:" + std::to_string(range.length));
  }
}
void PinStanding(Range range) {
  if (MayBeMeshed(reinterpret_cast<void*>(range.address))) {
    Note("pin:" + std::to_string(range.length));
  }
}
void ProtectionComing(Range range) {
  if (MayBeMeshed(reinterpret_cast<void*>(range.address))) {
    Note("protect:" + std::to_string(range.length));
  }
}
void EndStanding(const void* address) {
  if (MayBeMeshed(address)) Note("end");
}

int ProgramSigaction(int (*libcs)(int, const struct sigaction*, struct sigaction*),
                     int signal_number, const struct sigaction* wanted, struct sigaction* before) {
  Note("action:" + std::to_string(signal_number));
  return libcs(signal_number, wanted, before);
}
void SegvBlocked() { Note("blocked"); }

}  // namespace mesh
