/* A heap that is compacted, checked from the inside: for programs that are linked in different
 * ways. C and C++.
 */
#pragma once

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/libmesh/mesh/mesh.h"

#define CHECK(condition)                                              \
  do {                                                                \
    if (!(condition)) {                                               \
      fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition); \
      exit(1);                                                        \
    }                                                                 \
  } while (0)

enum { kObjects = 400000, kObjectSize = 64, kKeptEvery = 16 };

static size_t ReadFigure(const char* key) {
  size_t value = 0;
  size_t length = sizeof(value);
  CHECK(mesh_mallctl(key, &value, &length, NULL, 0) == 0);
  return value;
}

/* Makes objects by `allocate`, keeps every 16th of them, compacts, and checks what is left. */
static void CompactAndCheck(void* (*allocate)(size_t size), void (*release)(void* object)) {
  unsigned char** objects = (unsigned char**)mesh_calloc(kObjects, sizeof(*objects));
  CHECK(objects != NULL);
  for (int i = 0; i < kObjects; i++) {
    objects[i] = (unsigned char*)allocate(kObjectSize);
    CHECK(objects[i] != NULL && mesh_is_in_heap(objects[i]));
    memset(objects[i], i % 251, kObjectSize);
  }
  for (int i = 0; i < kObjects; i++) {
    if (i % kKeptEvery != 0) release(objects[i]);
  }
  size_t before = ReadFigure("stats.physical");
  mesh_collect(true);
  size_t after = ReadFigure("stats.physical");
  for (int i = 0; i < kObjects; i += kKeptEvery) {
    for (int byte = 0; byte < kObjectSize; byte++) CHECK(objects[i][byte] == i % 251);
  }
  printf("%zu KB before, %zu KB after, %zu pages meshed\n", before >> 10, after >> 10,
         ReadFigure("stats.meshed_pages_now"));
  /* 25 MB, of which 1.6 are in use. */
  CHECK(ReadFigure("stats.meshed_pages_now") > 1000);
  CHECK(after < before - (10u << 20));
  for (int i = 0; i < kObjects; i += kKeptEvery) release(objects[i]);
  mesh_free(objects);
}
