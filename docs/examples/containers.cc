// Standard containers on Mesh: in the main heap, and in a heap of their own.
#include <cassert>
#include <cstdio>
#include <map>
#include <mesh/mesh.hpp>
#include <string>
#include <vector>

using String = std::basic_string<char, std::char_traits<char>, mesh::allocator<char>>;

int main() {
  std::vector<int, mesh::allocator<int>> numbers;
  for (int i = 0; i < 1000; i++) numbers.push_back(i);
  assert(mesh_is_in_heap(numbers.data()));

  // What one request allocates lies together, and is compacted together.
  mesh::heap request;
  using Pair = std::pair<const int, String>;
  std::map<int, String, std::less<int>, mesh::allocator<Pair>> names{
      mesh::allocator<Pair>(request)};
  const mesh::allocator<char> characters(request);
  for (int i = 0; i < 1000; i++) {
    names.emplace(i, String("a name that is too long for the string itself", characters));
  }
  assert(request.contains(&*names.begin()));
  assert(request.contains(names.begin()->second.data()));
  request.collect(true);
  printf("%zu numbers, %zu names\n", numbers.size(), names.size());
  return names.at(999).size() == 45 ? 0 : 1;
}
