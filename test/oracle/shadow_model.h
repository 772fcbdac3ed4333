// ShadowModel: what a heap should hold, kept beside it. Random operations go to both, and every
// byte that matters is compared.
//
// The contents of an object follow from its address, its size and a stamp, so that two objects that
// overlap, a store that got lost and a page that shows old memory all read wrong.
// Thread rule: one thread a model; an object may be handed from one model to another.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <vector>

namespace mesh {

class ShadowModel {
 public:
  struct Object {
    char* address;
    size_t size;
    uint64_t stamp;
  };

  // A number in [0, bound): from a generator, or from a fuzzer's input.
  using Draw = std::function<uint32_t(uint32_t bound)>;

  // What makes and resizes objects: the malloc family, unless it is said otherwise. `alignment`: 0
  // where that of every object will do. Null: no memory.
  struct Source {
    void* context = nullptr;
    void* (*make)(void* context, size_t size, size_t alignment, bool zeroed);
    void* (*resize)(void* context, void* object, size_t size);
    // Its objects are those of a hardened heap, where the heap is one (MESH_SECURE).
    bool may_be_hardened;
  };

  // `name` and `seed` are printed when something is wrong, and the program ends.
  ShadowModel(const char* name, uint64_t seed, size_t max_objects);
  void set_source(const Source& source) { source_ = source; }

  // From now on the heap may say that it has no memory: an object is then not made, or stays as it
  // was, and counts as refused.
  void AllowRefusals() { may_be_refused_ = true; }

  // Bytes of the largest object from now on; 4 MiB at first.
  void set_largest(size_t size) { largest_ = size; }

  // One random operation: an allocation of any kind, a reallocation, a free, a check, a rewrite.
  // The heap grows for a while, then shrinks for a while: spans become sparse.
  void Step(const Draw& draw);

  // Takes any object out of the model, for another one to Put(). False when there is none.
  bool Take(const Draw& draw, Object* out);
  void Put(const Object& object) { objects_.push_back(object); }
  // Takes over an object, resized by `source`. False: there was no memory, and it is as it was.
  bool Adopt(Object object, size_t size, const Source& source);
  // All objects go to another model, or are not looked at any more.
  void GiveAll(ShadowModel& to);
  void ForgetAll() { objects_.clear(); }
  const std::vector<Object>& objects() const { return objects_; }

  void CheckAll() const;
  void FreeAll();
  // Writes to every object: nothing may be read-only, or shared with another.
  void RewriteAll();

  size_t object_count() const { return objects_.size(); }
  uint64_t steps() const { return steps_; }
  uint64_t refused() const { return refused_; }

 private:
  size_t DrawAnySize(const Draw& draw) const;
  size_t DrawSize(const Draw& draw) const;
  bool ShouldGrow(const Draw& draw);
  void Allocate(const Draw& draw);
  bool WasRefused(const char* what, const Object& object);
  void Reallocate(const Draw& draw);
  bool Resize(Object& object, size_t size, const Source& source);
  void CheckFresh(const Object& object) const;
  void Free(const Draw& draw);
  Object& Any(const Draw& draw);
  void Write(Object& object);
  void Check(const Object& object) const;
  [[noreturn]] void Fail(const char* what, const Object& object, size_t at) const;

  const char* name_;
  uint64_t seed_;
  size_t max_objects_;
  Source source_;
  // What a hardened heap promises of a fresh object.
  bool has_exact_sizes_;
  bool is_cleared_;
  size_t largest_ = size_t{4} << 20;
  std::vector<Object> objects_;
  uint64_t stamp_ = 0;
  uint32_t phase_left_ = 0;
  bool is_growing_ = true;
  bool may_be_refused_ = false;
  uint64_t steps_ = 0;
  uint64_t refused_ = 0;
};

}  // namespace mesh
