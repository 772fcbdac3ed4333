// After meshing, and with nothing closed by hand: a program that this one becomes, and a child that
// it starts, find the descriptors 0, 1 and 2 and no others.
//
//   exec_descriptors [nobody] [denied]
#include <sys/wait.h>

#include "test/programs/workout.h"

static void BecomeListing(void) {
  // The fourth is the directory that is read.
  execl("/bin/sh", "sh", "-c", "exec ls /proc/self/fd", (char*)NULL);
  REQUIRE(!"execl returned");
}

int main(int count, char** words) {
  EnterSituation(count, words);
  WorkOut();
  REQUIRE(FindMallctl() == NULL || Statistic("stats.mesh_count") > 0);
  pid_t child = vfork();
  if (child == 0) BecomeListing();
  int status = -1;
  REQUIRE(waitpid(child, &status, 0) == child && status == 0);
  BecomeListing();
  return 1;
}
