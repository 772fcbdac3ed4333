// ProgramHeapsModel: heaps that the program makes, each with a shadow model of its own beside the
// main heap's.
//
// Thread rule: one thread.
#pragma once

#include <cstddef>
#include <memory>
#include <vector>

#include "src/libmesh/mesh/mesh.h"
#include "test/oracle/shadow_model.h"

namespace mesh {

class ProgramHeapsModel {
 public:
  // `main`: of the main heap, which takes the objects of heaps that are deleted.
  ProgramHeapsModel(const char* name, ShadowModel& main, const ShadowModel::Draw& draw)
      : name_(name), main_(main), draw_(draw) {}
  ~ProgramHeapsModel();
  ProgramHeapsModel(const ProgramHeapsModel&) = delete;
  ProgramHeapsModel& operator=(const ProgramHeapsModel&) = delete;

  // As ShadowModel's, for heaps from now on.
  void AllowRefusals() { may_be_refused_ = true; }
  void set_largest(size_t size) { largest_ = size; }

  // Operations that Act() knows.
  static constexpr uint8_t kActs = 7;
  // One operation: a heap is made, used, looked at, ended, or made a thread's default.
  void Act(uint8_t what);

  void CheckAll() const;
  // Ends all heaps, one half of them with their objects; the others' are the main heap's then.
  void EndAll();
  size_t steps() const { return steps_; }

 private:
  struct Heap {
    Heap(const char* name, mesh_heap_t* of) : heap(of), model(name, 0, kMostObjects) {}
    mesh_heap_t* heap;
    ShadowModel model;
  };

  static constexpr size_t kMostHeaps = 4;
  static constexpr size_t kMostObjects = 500;

  void Make();
  void Play(Heap& heap, uint32_t steps);
  void Delete(Heap& heap);
  void Destroy(Heap& heap);
  void Remove(Heap& heap);
  void Visit(Heap& heap);
  void Exchange(Heap& heap);
  void UseAsDefault(Heap& heap);

  const char* name_;
  ShadowModel& main_;
  const ShadowModel::Draw& draw_;
  // Whose addresses are the contexts of their models' sources.
  std::vector<std::unique_ptr<Heap>> heaps_;
  bool may_be_refused_ = false;
  size_t largest_ = size_t{4} << 20;
  size_t steps_ = 0;
};

}  // namespace mesh
