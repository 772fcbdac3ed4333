// What libmesh tells runtime about calls of the program that it sees pass by.
//
// Room: runtime. Thread rule: any thread, and inside signal handlers too (poll, select, close and
// _Fork are async-signal-safe): never waits for a lock that the interrupted code may hold.
// All keep errno; none calls malloc.
#pragma once

namespace mesh {

// The calling thread is about to sleep in the kernel: a good moment to mesh.
void BeforeBlocking();

// Around a fork that runs no atfork handlers (_Fork, clone, syscall). The two ends run in the
// thread that called BeforeForkRaw(); AfterForkParent() also when the fork failed.
void BeforeForkRaw();
void AfterForkParent();
void AfterForkChild();

// From now on somebody else may store to this memory: a thread is about to be made.
void AddressSpaceShared();

// The program is about to close (or reuse) every descriptor from `first` to `last`. On return no
// descriptor of the allocator lies there: it was moved elsewhere or given up, so that the program
// sees what it would see without us.
// The caller may be the child of a vfork, which shares the memory but not the descriptors: nothing
// may change then.
void DescriptorsClosing(unsigned int first, unsigned int last);

}  // namespace mesh
