// Ends in the way that argv[1] names, with a used heap behind it.  The runner expects the status
// that any program would have, and nothing on stderr.
#include <signal.h>

#include "test/programs/check.h"

int main(int argc, char** argv) {
  REQUIRE(argc == 2);
  static void* objects[10000];
  for (int i = 0; i < 10000; ++i) objects[i] = malloc((size_t)i % 500);
  for (int i = 0; i < 10000; i += 3) free(objects[i]);
  const char* how = argv[1];
  if (strcmp(how, "return") == 0) return 42;
  if (strcmp(how, "exit") == 0) exit(43);
  if (strcmp(how, "_exit") == 0) _exit(44);
  if (strcmp(how, "quick_exit") == 0) quick_exit(45);
  if (strcmp(how, "abort") == 0) abort();
  if (strcmp(how, "null") == 0) *(volatile int*)Opaque(NULL) = 1;
  if (strcmp(how, "usr1") == 0) raise(SIGUSR1);
  if (strcmp(how, "usr2") == 0) raise(SIGUSR2);
  if (strcmp(how, "term") == 0) raise(SIGTERM);
  if (strcmp(how, "pipe") == 0) raise(SIGPIPE);
  return 1;
}
