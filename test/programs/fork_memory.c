// What forks cost a compacted heap in physical memory.
//
//   fork_memory pins     children that live on share one old heap, and do not keep a copy each
//   fork_memory growth   a parent that changes a little between forks stays about as small as it
//   was
#include <signal.h>
#include <sys/wait.h>

#include "test/programs/check.h"

enum { kObjects = 120000, kOneIn = 8, kChildren = 6, kForks = 24 };
// What a process has beside its heap, at most.
enum { kOwnBytes = 2 << 20 };

static unsigned char* objects[kObjects];
static unsigned random_state = 1;

static unsigned Random(void) {
  random_state = random_state * 1664525u + 1013904223u;
  return random_state >> 8;
}

static size_t SizeOf(size_t i) { return 16 + i * 7919 % 900; }

static void Make(size_t i) {
  objects[i] = malloc(SizeOf(i));
  REQUIRE(objects[i] != NULL);
  memset(objects[i], (int)(i & 0xff), SizeOf(i));
}
static void Drop(size_t i) {
  free(objects[i]);
  objects[i] = NULL;
}
static void MakeHoles(void) {
  for (size_t i = 0; i < kObjects; i++) Make(i);
  for (size_t i = 0; i < kObjects; i++) {
    if (Random() % kOneIn != 0) Drop(i);
  }
  CompactIfMesh();
}

// Reads everything, so that all pages are present and count; stores it again if `stores`.
static void Touch(int stores) {
  for (size_t i = 0; i < kObjects; i++) {
    if (objects[i] == NULL) continue;
    for (size_t at = 0; at < SizeOf(i); at++) REQUIRE(objects[i][at] == (unsigned char)i);
    if (stores) memset(objects[i], (int)(i & 0xff), SizeOf(i));
  }
}

static pid_t StartReader(void) {
  int ready[2];
  char word = 'r';
  REQUIRE(pipe(ready) == 0);
  pid_t child = fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    Touch(0);
    REQUIRE(write(ready[1], &word, 1) == 1);
    for (;;) pause();
  }
  REQUIRE(read(ready[0], &word, 1) == 1);
  close(ready[0]);
  close(ready[1]);
  return child;
}

// One old heap for all children, one new one for the parent; and the old one goes with them.
static void Pins(void) {
  MakeHoles();
  Touch(0);
  const size_t alone = ResidentBytes();
  pid_t children[kChildren];
  for (int k = 0; k < kChildren; k++) {
    children[k] = StartReader();
    CompactIfMesh();
  }
  Touch(1);
  CompactIfMesh();
  Touch(0);
  size_t together = ResidentBytes();
  for (int k = 0; k < kChildren; k++) together += ResidentBytesOf(children[k]);
  REQUIRE(together <= 3 * alone + kChildren * kOwnBytes);
  for (int k = 0; k < kChildren; k++) {
    REQUIRE(kill(children[k], SIGKILL) == 0 && waitpid(children[k], NULL, 0) == children[k]);
  }
  Touch(0);
  REQUIRE(ResidentBytes() <= alone + alone / 2);
}

static void ForkAndForget(void) {
  pid_t child = fork();
  REQUIRE(child >= 0);
  if (child == 0) _exit(0);
  REQUIRE(waitpid(child, NULL, 0) == child);
}

// One object of twenty goes between two forks, and another comes. Mesh says what it holds, as
// pages that nobody has touched since count in no process.
static void Growth(void) {
  MakeHoles();
  Touch(0);
  const size_t resident = ResidentBytes();
  const size_t physical = StatisticIfMesh("stats.physical");
  for (int round = 0; round < kForks; round++) {
    for (int k = 0; k < kObjects / kOneIn / 20; k++) {
      size_t i = Random() % kObjects;
      while (objects[i] == NULL) i = (i + 1) % kObjects;
      Drop(i);
      while (objects[i] != NULL) i = Random() % kObjects;
      Make(i);
    }
    ForkAndForget();
    CompactIfMesh();
    Touch(0);
    // Less than half of a memory that no longer is of use is kept, for the sake of the other half.
    REQUIRE(ResidentBytes() <= 2 * resident);
    REQUIRE(StatisticIfMesh("stats.physical") <= 2 * physical + kOwnBytes);
  }
}

int main(int count, char** words) {
  REQUIRE(count == 2);
  if (strcmp(words[1], "pins") == 0) Pins();
  if (strcmp(words[1], "growth") == 0) Growth();
  return 0;
}
