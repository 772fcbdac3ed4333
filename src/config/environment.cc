// See environment.h.
#include "src/config/environment.h"

#include <sys/auxv.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>

// Exported by the loader (and by a static libc): the stack as the kernel set it up, argc first.
extern "C" void* __libc_stack_end __attribute__((weak));

namespace mesh {

char* const* ChooseEnvironment(char* const* libc_environment, void* stack_top, bool is_secure) {
  if (is_secure) return nullptr;
  if (libc_environment != nullptr) return libc_environment;
  if (stack_top == nullptr) return nullptr;
  intptr_t argument_count = *static_cast<intptr_t*>(stack_top);
  char** arguments = static_cast<char**>(stack_top) + 1;
  return arguments + argument_count + 1;  // behind the null that ends the arguments
}

char* const* FindEnvironment() {
  void* stack_top = &__libc_stack_end != nullptr ? __libc_stack_end : nullptr;
  return ChooseEnvironment(environ, stack_top, getauxval(AT_SECURE) != 0);
}

}  // namespace mesh
