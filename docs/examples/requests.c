/* A heap for each request of a server: freed one by one while it runs, and all at once at its end.
 */
#include <assert.h>
#include <mesh/mesh.h>
#include <stdio.h>
#include <string.h>

struct node {
  struct node* next;
  char text[40];
};

/* Counts what is left of a heap. */
static bool count_object(mesh_heap_t* heap, void* object, size_t usable_size, void* argument) {
  (void)heap;
  (void)object;
  *(size_t*)argument += usable_size;
  return true;
}

static size_t serve(void) {
  mesh_heap_t* heap = mesh_heap_new();
  if (heap == NULL) return 0;
  /* Libraries that call malloc() allocate from it too. */
  mesh_heap_t* before = mesh_heap_set_default(heap);
  struct node* list = NULL;
  for (int i = 0; i < 10000; i++) {
    struct node* node = mesh_malloc(sizeof(*node));
    if (node == NULL) break;
    node->next = list;
    strcpy(node->text, "what the request has brought");
    if (i % 3 == 0) {
      mesh_free(node);
    } else {
      list = node;
    }
  }
  mesh_heap_set_default(before);
  size_t bytes = 0;
  mesh_heap_visit_blocks(heap, count_object, &bytes);
  mesh_heap_destroy(heap); /* the list too */
  return bytes;
}

int main(void) {
  size_t bytes = 0;
  for (int i = 0; i < 10; i++) bytes = serve();
  printf("a request leaves %zu bytes\n", bytes);
  return bytes == 6666 * sizeof(struct node) ? 0 : 1;
}
