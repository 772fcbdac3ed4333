// A memory resource that goes with all that was allocated from it.
#include <cassert>
#include <cstdio>
#include <memory_resource>
#include <mesh/mesh.hpp>
#include <string>
#include <unordered_map>

int main() {
  mesh::heap_resource resource;
  size_t words = 0;
  for (int round = 0; round < 10; round++) {
    {
      std::pmr::unordered_map<int, std::pmr::string> table(&resource);
      for (int i = 0; i < 1000; i++) table[i] = "some text that is longer than a string's own room";
      assert(resource.get().contains(&*table.begin()));
      words += table.size();
    }
    // Whatever is left goes at once.
    resource.release();
  }
  printf("%zu entries\n", words);
  return words == 10000 ? 0 : 1;
}
