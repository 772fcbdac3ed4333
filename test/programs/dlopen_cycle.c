// argv[1]: the plug-in.  Loads and unloads it many times from several threads; objects that it
// allocated are checked and freed after it is gone.
#include <pthread.h>

#include "test/programs/check.h"

enum { kThreads = 4, kRounds = 100, kSize = 500 };

static const char* plugin_path;

static void* LoadAndUnload(void* unused) {
  for (int round = 0; round < kRounds; ++round) {
    void* plugin = dlopen(plugin_path, RTLD_NOW | RTLD_LOCAL);
    REQUIRE(plugin != NULL);
    char* (*make)(unsigned);
    *(void**)&make = dlsym(plugin, "PluginMake");
    REQUIRE(make != NULL);
    char* object = make(kSize);
    REQUIRE(dlclose(plugin) == 0);
    for (int i = 0; i < kSize; ++i) REQUIRE(object[i] == 'p');
    free(object);
  }
  return unused;
}

int main(int argc, char** argv) {
  REQUIRE(argc == 2);
  plugin_path = argv[1];
  pthread_t threads[kThreads];
  for (int i = 0; i < kThreads; ++i) {
    REQUIRE(pthread_create(&threads[i], NULL, LoadAndUnload, NULL) == 0);
  }
  for (int i = 0; i < kThreads; ++i) REQUIRE(pthread_join(threads[i], NULL) == 0);
  return 0;
}
