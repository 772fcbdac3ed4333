/* Loads a library with Mesh in it, by its path, and uses it from several threads. */
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>

static void* Run(void* exercise) {
  ((void (*)(void))exercise)();
  return NULL;
}

int main(int argc, char** argv) {
  void* library = argc == 2 ? dlopen(argv[1], RTLD_NOW | RTLD_LOCAL) : NULL;
  void* exercise = library != NULL ? dlsym(library, "Exercise") : NULL;
  if (exercise == NULL) {
    fprintf(stderr, "%s\n", dlerror());
    return 1;
  }
  for (int i = 0; i < 3; i++) {
    pthread_t thread;
    if (pthread_create(&thread, NULL, Run, exercise) != 0) return 1;
    pthread_join(thread, NULL);
  }
  Run(exercise);
  return dlclose(library) == 0 ? 0 : 1;
}
