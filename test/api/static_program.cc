// A C++ program that is linked with libmesh.a and whose operator new is Mesh's; and who is asked
// when there is no memory.
#include <new>

#include "src/libmesh/mesh/mesh.hpp"
#include "test/api/compacting.h"

namespace {

void* Allocate(size_t size) { return new char[size]; }
void Release(void* object) { delete[] static_cast<char*>(object); }

int asked = 0;    // the hook, how often
int handled = 0;  // the new-handler

bool NoteHook(size_t, void*) {
  CHECK(asked == handled);
  asked++;
  return false;
}

void NoteHandler() {
  if (++handled == 3) std::set_new_handler(nullptr);
  CHECK(asked == handled);
}

// The hook comes first, each time, and the rules of operator new hold as ever.
void RunOutOfMemory() {
  mesh_register_out_of_memory(NoteHook, nullptr);
  std::set_new_handler(NoteHandler);
  bool thrown = false;
  try {
    static_cast<void>(::operator new (size_t{1} << 46));
  } catch (const std::bad_alloc&) {
    thrown = true;
  }
  CHECK(thrown && handled == 3 && asked == 4);
  mesh_register_out_of_memory(nullptr, nullptr);
}

}  // namespace

int main() {
  CompactAndCheck(Allocate, Release);
  RunOutOfMemory();
  return 0;
}
