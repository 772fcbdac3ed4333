/* Reference counting in bounded time: what a counter of zero leaves behind is freed a little at a
 * time, whenever the allocator looks for memory. */
#include <assert.h>
#include <mesh/mesh.h>
#include <stdio.h>

struct tree {
  int references;
  struct tree* left;
  struct tree* right;
  struct tree* next; /* of those that wait */
};

static struct tree* waiting;
static size_t freed;
static uint64_t last_heartbeat;

static void release(struct tree* tree) {
  if (tree == NULL || --tree->references > 0) return;
  tree->next = waiting;
  waiting = tree;
}

static void free_some(bool force, uint64_t heartbeat, void* argument) {
  (void)argument;
  assert(heartbeat > last_heartbeat);
  last_heartbeat = heartbeat;
  for (int i = 0; waiting != NULL && (force || i < 100); i++) {
    struct tree* tree = waiting;
    waiting = tree->next;
    release(tree->left);
    release(tree->right);
    mesh_free(tree);
    freed++;
  }
}

static struct tree* make(int depth) {
  struct tree* tree = mesh_malloc(sizeof(*tree));
  if (tree == NULL) return NULL;
  tree->references = 1;
  tree->left = depth > 0 ? make(depth - 1) : NULL;
  tree->right = depth > 0 ? make(depth - 1) : NULL;
  return tree;
}

int main(void) {
  struct tree* first = make(14);
  mesh_register_deferred_free(free_some, NULL);
  release(first);                 /* at once, however large the tree */
  struct tree* second = make(14); /* frees parts of the first on the way */
  size_t on_the_way = freed;
  release(second);
  mesh_collect(true); /* all that waits */
  mesh_register_deferred_free(NULL, NULL);
  printf("%zu of %zu freed on the way\n", on_the_way, freed);
  return on_the_way > 0 && freed == 2 * ((1 << 15) - 1) ? 0 : 1;
}
