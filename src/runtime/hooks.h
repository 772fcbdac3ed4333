// What libmesh tells runtime about calls of the program that it sees pass by.
//
// Room: runtime. Thread rule: any thread, and inside signal handlers too (poll, select, close and
// _Fork are async-signal-safe): never waits for a lock that the interrupted code may hold.
// All keep errno; none calls malloc.
#pragma once

#include <pthread.h>
#include <signal.h>
#include <threads.h>

#include <cstdint>
#include <span>

#include "src/meshing/range.h"

namespace mesh {

class Runtime;

// The calling thread is about to wait for another, perhaps for long: what its heap holds is there
// for others until the scope ends, or the thread uses the allocator, if a signal handler does or
// the scope is left by a cancellation or a jump.
class RestScope {
 public:
  RestScope();
  ~RestScope();
  RestScope(const RestScope&) = delete;
  RestScope& operator=(const RestScope&) = delete;
};

// The calling thread is about to sleep: it works first, a slice at a time, as long as nothing that
// it waits for has come.
//
//   Doze doze(longest_ns);
//   do {
//     result = libc's call, waiting at most doze.NextWait();   // 0: a look alone
//   } while (result says that the time is over && !doze.is_over());
class Doze {
 public:
  // That the thread sleeps until something comes.
  static constexpr uint64_t kForever = UINT64_MAX;

  // While it waits it rests, too (RestScope).
  explicit Doze(uint64_t longest_ns) : longest_ns_(longest_ns) {}
  ~Doze();
  Doze(const Doze&) = delete;
  Doze& operator=(const Doze&) = delete;

  // Works, but for the first time. Returns: how long to wait now [ns]. kForever when that was the
  // length and there is nothing to do.
  uint64_t NextWait();
  // The wait that NextWait() returned is the last one.
  bool is_over() const { return is_over_; }
  // There was nothing to do from the start: the call is made as if we were not here.
  bool is_plain() const { return is_over_ && began_ns_ == 0; }
  // What is left of the whole length [ns].
  uint64_t left_ns() const;

 private:
  uint64_t DecideWait();
  uint64_t FirstWait(Runtime& runtime);
  uint64_t Work(Runtime& runtime);
  uint64_t Finish();

  const uint64_t longest_ns_;
  uint64_t began_ns_ = 0;  // 0: has not worked
  bool has_looked_ = false;
  bool has_worked_ = false;  // and was not at the end
  bool has_napped_ = false;
  bool has_flushed_ = false;  // what the thread's heap held at the end of the nap
  bool is_over_ = false;
};

// Threads come by libc's pthread_create and thrd_create, which are handed in. With the program's
// first one comes the background thread.
using ThreadCreator = int(pthread_t*, const pthread_attr_t*, void* (*)(void*), void*);
using C11ThreadCreator = int(thrd_t*, thrd_start_t, void*);
int CreateThread(ThreadCreator* libcs, pthread_t* thread, const pthread_attr_t* attributes,
                 void* (*function)(void*), void* argument);
int CreateC11Thread(C11ThreadCreator* libcs, ThreadCreator* libcs_other, thrd_t* thread,
                    thrd_start_t function, void* argument);
// The library is loaded: a background thread that was asked for comes now.
void ProgramBegins(ThreadCreator* libcs);
// The program is about to make a call that only a process with one thread may make, or that is
// meant for the one thread which the program has: there is no background thread on return.
void BeforeSoleThreadCall();

// Before fork(), whose atfork handlers come when it cannot be called off any more. kRefused: the
// kernel would not give the child memory of its own, and the call has to fail with ENOMEM.
// Otherwise AfterFork() has to follow in the parent, also when the fork failed.
enum class ForkPermit : uint8_t { kRefused, kGiven, kHeld };
ForkPermit BeforeFork();
void AfterFork(ForkPermit permit);

// Around a fork that runs no atfork handlers (_Fork, clone, syscall). The two ends run in the
// thread that called BeforeForkRaw(); AfterForkParent() also when the fork failed. False: as
// kRefused above, and nothing has begun.
bool BeforeForkRaw();
void AfterForkParent();
void AfterForkChild();

// From now on something stores to this memory that is no thread of this process, or that no call of
// ours can see: a clone(CLONE_VM) child, an io_uring instance. Threads are not meant.
void AddressSpaceShared();

// The program is about to close (or reuse) every descriptor from `first` to `last`. On return no
// descriptor of the allocator lies there: it was moved elsewhere or given up, so that the program
// sees what it would see without us.
// The caller may be the child of a vfork, which shares the memory but not the descriptors: nothing
// may change then.
// True: DescriptorsClosed() has to follow when the call is back.
bool DescriptorsClosing(unsigned int first, unsigned int last);
void DescriptorsClosed();

// Around such a call. `first` above `last`: it closes nothing.
class ClosingScope {
 public:
  ClosingScope(unsigned int first, unsigned int last)
      : must_end_(first <= last && DescriptorsClosing(first, last)) {}
  ~ClosingScope() {
    if (must_end_) DescriptorsClosed();
  }
  ClosingScope(const ClosingScope&) = delete;
  ClosingScope& operator=(const ClosingScope&) = delete;

 private:
  const bool must_end_;
};

// The program is about to put itself under a seccomp filter (a struct sock_fprog; null: strict
// mode). One that kills for what meshing needs ends meshing.
void FilterComing(const void* program);

// Memory that the program lends to the kernel, for the write barrier's lower tiers
// (meshing/published.h). From InterpositionInForce() on, every call that stores through the kernel
// is published; to be called while the process has one thread.
void InterpositionInForce();

// Whether calls have to be published. When not, there is nothing to do.
bool IsPublishing();

// Whether the page at `address` may come to be meshed. Any address.
bool MayBeMeshed(const void* address);

// What a call has lent. Publish waits while one of the ranges is being meshed.
struct Publication {
  void* record = nullptr;
  uint32_t token = 0;
};
Publication PublishBuffers(std::span<const Range> ranges);
void WithdrawBuffers(const Publication& publication);

// The program's sigaction() and signal() (meshing/segv_handler.h), given libc's own.
int ProgramSigaction(int (*libcs)(int, const struct sigaction*, struct sigaction*),
                     int signal_number, const struct sigaction* wanted, struct sigaction* before);
// The calling thread has blocked SIGSEGV. Returns when it may store to memory.
void SegvBlocked();

// Lends until it is ended: memory that the kernel stores into between calls. What cannot be meshed
// is not looked at.
void LendStanding(Range range);
// The same for what must not be meshed in any tier: the kernel knows it by the memory behind it.
void PinStanding(Range range);
void EndStanding(const void* address);
// The program is about to protect pages in a way of its own: those of small objects, which it has
// rounded an address down to, are meshed no more, since a mesh would make them what they were.
void ProtectionComing(Range range);

}  // namespace mesh
