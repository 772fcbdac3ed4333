/* A library that is loaded while the program runs, and brings Mesh's own names with it, without
 * malloc. */
#include "test/api/compacting.h"

static void* Allocate(size_t size) { return mesh_malloc(size); }
static void Release(void* object) { mesh_free(object); }

__attribute__((visibility("default"))) void Exercise(void) {
  CompactAndCheck(Allocate, Release);
  mesh_heap_t* heap = mesh_heap_new();
  CHECK(heap != NULL && mesh_heap_malloc(heap, 100) != NULL);
  mesh_heap_destroy(heap);
}
