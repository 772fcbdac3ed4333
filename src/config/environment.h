// Where the environment is, at any time of the process's life.
//
// The first call of malloc comes from the loader, before libc has set `environ`; the block that the
// kernel laid on the stack is there by then. A set-user-ID program must not obey the user who
// started it, so there the environment counts as empty.
// Room: config. Thread rule: reads only; the caller makes sure that nobody changes the environment.
#pragma once

namespace mesh {

// Returns: NAME=value texts, ended by a null pointer; null if there are none or they are not to be
// trusted (AT_SECURE). Allocates nothing, takes no lock.
char* const* FindEnvironment();

// As above, from what the process is given. Separate for tests.
// Args: stack_top: address of argc as the kernel laid it out, followed by argv, null, the
//   environment, null; or null if unknown.
char* const* ChooseEnvironment(char* const* libc_environment, void* stack_top, bool is_secure);

}  // namespace mesh
