// atexit and on_exit handlers, static destructors and a destructor function allocate, free what
// main left, and write through stdio, while the process is going down.  Prints one line for each.
#include <string>

#include "test/programs/check.h"

namespace {

char* left_by_main = nullptr;

struct Static {
  ~Static() {
    std::string text(1000, 's');
    printf("static %zu\n", text.size());
  }
};
Static at_end;

void AtExit() {
  void* fresh = malloc(5000);
  free(left_by_main);
  printf("atexit %d\n", fresh != nullptr);
  free(fresh);
}

void OnExit(int status, void* argument) {
  argument = realloc(argument, 100000);
  printf("on_exit %d %d\n", status, argument != nullptr);
  free(argument);
}

// Runs after all of the above, with stdio's buffers about to be flushed by libc.
__attribute__((destructor)) void Destructor() {
  void* fresh = calloc(3, 1000);
  printf("destructor %d\n", fresh != nullptr);
  free(fresh);
}

}  // namespace

int main() {
  left_by_main = static_cast<char*>(malloc(300));
  REQUIRE(on_exit(OnExit, malloc(10)) == 0);
  REQUIRE(atexit(AtExit) == 0);
  exit(3);
}
