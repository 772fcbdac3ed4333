/* A C program that is linked with libmesh.a and whose malloc is Mesh's. */
#include "test/api/compacting.h"

static void* Allocate(size_t size) { return malloc(size); }
static void Release(void* object) { free(object); }

int main(void) {
  CompactAndCheck(Allocate, Release);
  return 0;
}
