// See fake_hooks.h.
#include "test/libmesh/fake_hooks.h"

#include "src/runtime/heap.h"
#include "src/runtime/hooks.h"

namespace mesh {
namespace {

const void* arena_begin = nullptr;
const void* arena_end = nullptr;

void Note(const std::string& call) {
  if (!hook_calls.empty()) hook_calls += " ";
  hook_calls += call;
}

}  // namespace

std::string hook_calls;

void SetArena(const void* begin, const void* end) {
  arena_begin = begin;
  arena_end = end;
}

bool Owns(const void* address) { return address >= arena_begin && address < arena_end; }

void BeforeBlocking() { Note("block"); }
void BeforeForkRaw() { Note("fork"); }
void AfterForkParent() { Note("parent"); }
void AfterForkChild() { Note("child"); }
void AddressSpaceShared() { Note("shared"); }

void DescriptorsClosing(unsigned int first, unsigned int last) {
  Note("close:" + std::to_string(first) + "-" + std::to_string(last));
}

}  // namespace mesh
