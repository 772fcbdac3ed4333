// TestHeap: a GlobalHeap whose objects all have known contents, for tests that mesh real spans.
//
// Objects are made span by span, so that a test can say which slots stay in use. Each holds a
// pattern of its address and a stamp; CheckContents() reads every byte of every object back.
// Thread rule: the test's thread.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <vector>

#include "src/global/global_heap.h"

namespace mesh {

// All objects of one virtual span, by slot; null where none is.
using SpanObjects = std::vector<char*>;

class TestHeap {
 public:
  // The thread heap that all slots go to.
  static constexpr uint16_t kOwner = 7;

  // With `private_views` meshed spans are copied on write, as for programs that fork.
  explicit TestHeap(BarrierTier tier = BarrierTier::kAuto, bool private_views = false);
  ~TestHeap();
  TestHeap(const TestHeap&) = delete;
  TestHeap& operator=(const TestHeap&) = delete;

  GlobalHeap& global() { return *global_; }
  SizeClassHeap& heap_of(SizeClass size_class) { return global_->size_class_heap(size_class); }

  // Takes one object, or null when the heap has none.
  char* Allocate(SizeClass size_class);
  // Makes `count` full spans, at best. Expects that the class has no span with free slots.
  std::vector<SpanObjects> MakeFull(SizeClass size_class, size_t count);
  // Frees every object of the span whose slot `keep(slot)` does not name.
  template <typename Keep>
  void Thin(SpanObjects& span, Keep keep) {
    for (size_t slot = 0; slot < span.size(); slot++) {
      if (span[slot] == nullptr || keep(slot)) continue;
      Free(span[slot]);
      span[slot] = nullptr;
    }
  }
  // Checks an object's contents, and frees it.
  void Free(char* object) { FreeAtOnce({&object, 1}); }
  // The same with several of one class, in one call of Release().
  void FreeAtOnce(std::span<char* const> objects);
  void FreeAll();
  // Gives an object new contents.
  void Rewrite(char* object);
  void RewriteAll();

  // Takes the spans of the class with free slots out of the lists and meshes each `size` of them
  // into one group, in one batch.
  MeshResult MeshInGroupsOf(size_t size, SizeClass size_class);
  MeshResult MeshIntoOne(SizeClass size_class) { return MeshInGroupsOf(kAll, size_class); }
  // Takes all groups of the class apart: the spans, in the order of their addresses, go to `groups`
  // new ones in turn.
  void MakeAnew(size_t groups, SizeClass size_class);
  // A whole pass of the compactor, over every class.
  size_t Compact();

  size_t object_count() const { return objects_.size(); }
  // Every byte of every object is what was written; reports the first that is not.
  void CheckContents() const;
  // The invariants of all parts, and that they agree with each other: bits with objects, backing
  // pages with groups, statistics with spans.
  void CheckInvariants();
  void CheckAll() {
    CheckContents();
    CheckInvariants();
  }

 private:
  struct Object {
    SizeClass size_class;
    uint32_t stamp;
  };

  void Write(char* object, const Object& contents);
  bool Reads(const char* object, const Object& contents) const;

  static constexpr size_t kAll = SIZE_MAX;

  std::unique_ptr<GlobalHeap> global_;
  std::unique_ptr<Mesher> mesher_;
  Random random_{1};
  std::map<char*, Object> objects_;
  SpanId attached_[kClassCount] = {};
  uint32_t next_stamp_ = 1;
};

// The span that an object lies in.
MiniHeap* SpanOf(const char* object);

}  // namespace mesh
