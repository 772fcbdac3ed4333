// mesh_mallctl(3) for programs that start without the library too: looked up at run time.
//
// Header only; allocates nothing.
#ifndef TEST_PROGRAMS_MESH_CONTROL_H_
#define TEST_PROGRAMS_MESH_CONTROL_H_

#include <dlfcn.h>

#include <cstddef>

class MeshControl {
 public:
  MeshControl() : mallctl_(reinterpret_cast<Mallctl>(dlsym(RTLD_DEFAULT, "mesh_mallctl"))) {}

  // Whether Mesh is the allocator of this process.
  bool is_here() const { return mallctl_ != nullptr; }

  // A full compaction now. False: there is no Mesh, or it refused.
  bool Compact() const {
    return is_here() && mallctl_("mesh.compact", nullptr, nullptr, nullptr, 0) == 0;
  }

  // A figure by its key; 0 without Mesh, and for a key that it does not know.
  std::size_t Number(const char* key) const { return Get<std::size_t>(key, 0); }

  // A word by its key; "absent" likewise.
  const char* Word(const char* key) const { return Get<const char*>(key, "absent"); }

 private:
  using Mallctl = int (*)(const char*, void*, std::size_t*, void*, std::size_t);

  template <typename Value>
  Value Get(const char* key, Value otherwise) const {
    Value value = otherwise;
    std::size_t size = sizeof(value);
    if (!is_here() || mallctl_(key, &value, &size, nullptr, 0) != 0) return otherwise;
    return value;
  }

  Mallctl mallctl_;
};

#endif  // TEST_PROGRAMS_MESH_CONTROL_H_
