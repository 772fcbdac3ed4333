// An object of more than 2 and of more than 4 GiB at a fork: lengths that do not fit into an int.
// Little of it is touched.
#include <sys/wait.h>

#include "test/programs/check.h"

static const size_t kPlaces[] = {0, ((size_t)2 << 30) - 1, (size_t)2 << 30, ((size_t)4 << 30) + 5};
enum { kPlaceCount = sizeof kPlaces / sizeof *kPlaces };
static const size_t kBytes = ((size_t)4 << 30) + 4096;

static void Store(char* object, char mark) {
  for (int i = 0; i < kPlaceCount; i++) object[kPlaces[i]] = (char)(mark + i);
}
static void Check(const char* object, char mark) {
  for (int i = 0; i < kPlaceCount; i++) REQUIRE(object[kPlaces[i]] == (char)(mark + i));
}

int main(void) {
  char* object = malloc(kBytes);
  REQUIRE(object != NULL);
  Store(object, 1);
  pid_t child = fork();
  REQUIRE(child >= 0);
  Check(object, 1);
  Store(object, child == 0 ? 20 : 30);
  object = realloc(object, kBytes + ((size_t)1 << 30));
  REQUIRE(object != NULL);
  object[kBytes + ((size_t)1 << 29)] = 1;
  Check(object, child == 0 ? 20 : 30);
  int status = 0;
  if (child > 0) REQUIRE(waitpid(child, &status, 0) == child && status == 0);
  Check(object, child == 0 ? 20 : 30);
  free(object);
  return 0;
}
