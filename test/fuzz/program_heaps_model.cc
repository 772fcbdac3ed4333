// See program_heaps_model.h.
#include "test/fuzz/program_heaps_model.h"

#include <cerrno>
#include <unordered_map>

#include "src/base/check.h"

namespace mesh {
namespace {

constexpr size_t kOtherAlignment = 64;

// A heap, null for the main one, by the functions that name it. Which of several that do the same
// is used follows from the size.
mesh_heap_t* HeapFrom(void* context) { return *static_cast<mesh_heap_t**>(context); }

void* MakeIn(void* context, size_t size, size_t alignment, bool zeroed) {
  mesh_heap_t* heap = HeapFrom(context);
  void* object = nullptr;
  if (alignment > 0) {
    object = size % 2 == 0 ? mesh_heap_malloc_aligned(heap, size, alignment)
                           : mesh_heap_zalloc_aligned(heap, size, alignment);
  } else if (zeroed) {
    object = size % 2 == 0 ? mesh_heap_zalloc(heap, size) : mesh_heap_calloc(heap, 1, size);
  } else {
    object = mesh_heap_malloc(heap, size);
  }
  MESH_CHECK(object == nullptr || mesh_heap_contains(heap, object));
  return object;
}

// Wherever the object was.
void* ResizeInto(void* context, void* object, size_t size) {
  mesh_heap_t* heap = HeapFrom(context);
  const bool aligned = size % 2 == 0;
  void* resized = aligned ? mesh_heap_realloc_aligned(heap, object, size, kOtherAlignment)
                          : mesh_heap_realloc(heap, object, size);
  if (resized == nullptr) return nullptr;
  MESH_CHECK(mesh_heap_contains(heap, resized));
  MESH_CHECK(!aligned || reinterpret_cast<uintptr_t>(resized) % kOtherAlignment == 0);
  return resized;
}

// An object of the heap, by any function.
void* ResizeIn(void* context, void* object, size_t size) {
  if (size % 4 < 2) return ResizeInto(context, object, size);
  void* resized = size % 4 == 2 ? mesh_realloc(object, size)
                                : mesh_realloc_aligned(object, size, sizeof(void*));
  MESH_CHECK(resized == nullptr || mesh_heap_contains(HeapFrom(context), resized));
  return resized;
}

ShadowModel::Source SourceOf(mesh_heap_t** heap) { return {heap, MakeIn, ResizeIn, false}; }
ShadowModel::Source SourceInto(mesh_heap_t** heap) { return {heap, MakeIn, ResizeInto, false}; }

// By the functions that name no heap, while it is the thread's default.
ShadowModel::Source DefaultSourceOf(mesh_heap_t** heap) {
  auto make = [](void* context, size_t size, size_t alignment, bool zeroed) {
    void* object = zeroed          ? mesh_calloc(1, size)
                   : alignment > 0 ? mesh_malloc_aligned(size, alignment)
                                   : mesh_malloc(size);
    MESH_CHECK(object == nullptr || mesh_heap_contains(HeapFrom(context), object));
    return object;
  };
  return {heap, make, ResizeIn, false};
}

// What a visit has to come by, and has not yet.
using Expected = std::unordered_map<void*, size_t>;

bool NoteVisit(mesh_heap_t* heap, void* object, size_t usable, void* argument) {
  auto& expected = *static_cast<Expected*>(argument);
  auto found = expected.find(object);
  MESH_CHECK(found != expected.end() && found->second <= usable);
  MESH_CHECK(usable == mesh_usable_size(object) && mesh_heap_contains(heap, object));
  expected.erase(found);
  return true;
}

bool EndVisit(mesh_heap_t*, void*, size_t, void*) { return false; }

}  // namespace

ProgramHeapsModel::~ProgramHeapsModel() { MESH_CHECK(heaps_.empty()); }

void ProgramHeapsModel::Make() {
  if (heaps_.size() == kMostHeaps) return;
  mesh_heap_t* made = mesh_heap_new();
  MESH_CHECK(made != nullptr || may_be_refused_);
  if (made == nullptr) return;
  Heap& heap = *heaps_.emplace_back(std::make_unique<Heap>(name_, made));
  heap.model.set_source(SourceOf(&heap.heap));
  heap.model.set_largest(largest_);
  if (may_be_refused_) heap.model.AllowRefusals();
}

void ProgramHeapsModel::Play(Heap& heap, uint32_t steps) {
  for (uint32_t i = 0; i < steps; i++) heap.model.Step(draw_);
  steps_ += steps;
}

void ProgramHeapsModel::Remove(Heap& heap) {
  for (auto& place : heaps_) {
    if (place.get() != &heap) continue;
    place = std::move(heaps_.back());
    return heaps_.pop_back();
  }
}

void ProgramHeapsModel::Delete(Heap& heap) {
  mesh_heap_delete(heap.heap);
  heap.model.CheckAll();
  for (const ShadowModel::Object& object : heap.model.objects()) {
    MESH_CHECK(mesh_heap_contains(nullptr, object.address));
  }
  heap.model.GiveAll(main_);
  Remove(heap);
}

void ProgramHeapsModel::Destroy(Heap& heap) {
  heap.model.CheckAll();
  mesh_heap_destroy(heap.heap);
  heap.model.ForgetAll();
  Remove(heap);
}

void ProgramHeapsModel::Visit(Heap& heap) {
  Expected expected;
  for (const ShadowModel::Object& object : heap.model.objects()) {
    expected[object.address] = object.size;
  }
  const int ended = mesh_heap_visit_blocks(heap.heap, EndVisit, nullptr);
  const int error = mesh_heap_visit_blocks(heap.heap, NoteVisit, &expected);
  if (may_be_refused_ && (error == ENOMEM || ended == ENOMEM)) return;
  MESH_CHECK(ended == (heap.model.object_count() > 0 ? ECANCELED : 0));
  MESH_CHECK(error == 0 && expected.empty());
}

// An object of one heap is resized into another.
void ProgramHeapsModel::Exchange(Heap& heap) {
  const bool comes = draw_(2) != 0;
  ShadowModel& from = comes ? main_ : heap.model;
  ShadowModel& to = comes ? heap.model : main_;
  ShadowModel::Object object;
  if (!from.Take(draw_, &object)) return;
  mesh_heap_t* main = nullptr;
  const size_t size = 1 + draw_(static_cast<uint32_t>(2 * object.size + 64));
  if (!to.Adopt(object, size, SourceInto(comes ? &heap.heap : &main))) from.Put(object);
}

void ProgramHeapsModel::UseAsDefault(Heap& heap) {
  MESH_CHECK(mesh_heap_set_default(heap.heap) == nullptr);
  heap.model.set_source(DefaultSourceOf(&heap.heap));
  Play(heap, draw_(32));
  heap.model.set_source(SourceOf(&heap.heap));
  // The main heap is there by its name.
  Exchange(heap);
  const uint32_t end = draw_(4);
  MESH_CHECK(mesh_heap_get_default() == heap.heap);
  if (end == 0) {
    Delete(heap);
  } else if (end == 1) {
    Destroy(heap);
  } else {
    MESH_CHECK(mesh_heap_set_default(nullptr) == heap.heap);
  }
  // Ended, it is nobody's default; by the first call that asks, or the first that allocates.
  if (end == 0) main_.Step(draw_);
  MESH_CHECK(mesh_heap_get_default() == nullptr);
}

void ProgramHeapsModel::Act(uint8_t what) {
  if (what == 0 || heaps_.empty()) return Make();
  Heap& heap = *heaps_[draw_(static_cast<uint32_t>(heaps_.size()))];
  switch (what) {
    case 1:
      return Play(heap, draw_(32));
    case 2:
      return Delete(heap);
    case 3:
      return Destroy(heap);
    case 4:
      mesh_heap_collect(heap.heap, draw_(2) != 0);
      return heap.model.CheckAll();
    case 5:
      return Visit(heap);
    default:
      return draw_(2) != 0 ? UseAsDefault(heap) : Exchange(heap);
  }
}

void ProgramHeapsModel::CheckAll() const {
  for (const auto& heap : heaps_) heap->model.CheckAll();
}

void ProgramHeapsModel::EndAll() {
  while (!heaps_.empty()) {
    Heap& heap = *heaps_.back();
    Visit(heap);
    if (heaps_.size() % 2 != 0) {
      Destroy(heap);
    } else {
      Delete(heap);
    }
  }
}

}  // namespace mesh
