// The shared library that dlopen_cycle loads: allocates in its constructor, has thread-local state
// with a destructor, and hands an object to the program that outlives it.
#include <string>
#include <vector>

namespace {

std::vector<std::string> at_load(50, std::string(60, 'p'));
thread_local std::string per_thread;

}  // namespace

extern "C" __attribute__((visibility("default"))) char* PluginMake(unsigned size) {
  per_thread.assign(size, 't');
  char* object = new char[size];
  for (unsigned i = 0; i < size; ++i) object[i] = at_load[i % 50][i % 60];
  return object;
}
