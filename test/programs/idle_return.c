// 64 MB are freed, small objects or large ones, and the program does nothing but wait, again and
// again: before long the memory is back with the system.
//
//   idle_return small|large|holes|pages sleep|poll|epoll|select [threads]
#include <poll.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <time.h>

#include "test/programs/check.h"

enum { kMegabytes = 64, kMostWaits = 100 };
static const size_t kMargin = (size_t)8 << 20;

static void Wait(const char* how, int epoll) {
  const int ms = 120;
  struct epoll_event event;
  struct timespec sleep = {0, ms * 1000000};
  struct timeval timeout = {0, ms * 1000};
  if (strcmp(how, "sleep") == 0) REQUIRE(nanosleep(&sleep, NULL) == 0);
  if (strcmp(how, "poll") == 0) REQUIRE(poll(NULL, 0, ms) == 0);
  if (strcmp(how, "epoll") == 0) REQUIRE(epoll_wait(epoll, &event, 1, ms) == 0);
  if (strcmp(how, "select") == 0) REQUIRE(select(0, NULL, NULL, NULL, &timeout) == 0);
}

// Fills and frees. Every 16th object stays of "holes", which takes meshing to make up for, and of
// "pages", which are never meshed.
static void FillAndFree(char** objects, size_t count, size_t size, size_t kept) {
  for (size_t i = 0; i < count; i++) {
    objects[i] = malloc(size);
    REQUIRE(objects[i] != NULL);
    memset(objects[i], 1, size);
  }
  for (size_t i = 0; i < count; i++) {
    if (kept == 0 || i % kept != 0) free(objects[i]);
  }
}

static void* Idle(void* unused) {
  for (;;) pause();
  return unused;
}

int main(int count, char** words) {
  REQUIRE(count >= 3);
  static char* objects[kMegabytes << 12];
  memset(objects, 1, sizeof objects);
  pthread_t idle;
  for (int i = 0; count > 3 && i < 3; i++) REQUIRE(pthread_create(&idle, NULL, Idle, NULL) == 0);
  free(malloc(100));
  size_t before = ResidentBytes();
  const size_t bytes = (size_t)kMegabytes << 20;
  const int has_pages = strcmp(words[1], "pages") == 0;
  const int has_holes = strcmp(words[1], "holes") == 0 || has_pages;
  const size_t size = strcmp(words[1], "large") == 0 ? 200000 : has_pages ? 4096 : 256;
  FillAndFree(objects, bytes / size, size, has_holes ? 16 : 0);
  const size_t bound = before + (has_holes ? bytes / 8 : 0) + kMargin;
  const int epoll = epoll_create1(EPOLL_CLOEXEC);
  for (int i = 0; i < kMostWaits; i++) {
    Wait(words[2], epoll);
    if (ResidentBytes() < bound) return 0;
  }
  REQUIRE(ResidentBytes() < bound);
  return 0;
}
