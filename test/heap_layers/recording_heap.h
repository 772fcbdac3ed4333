// RecordingHeap: the heap below in the tests of single layers. It serves from the C library, counts
// what it is asked, fills objects with a byte that is not zero, and refuses when told to.
#pragma once

#include <cstddef>
#include <cstdlib>
#include <cstring>

#include "heaplayers/contract.h"

struct RecordingHeap {
  static constexpr std::size_t kAlignment = 16;
  static constexpr int kDirt = 0xA5;
  static constexpr std::size_t kLimit = std::size_t{1} << 30;  // refuses above [bytes]

  void* malloc(std::size_t size) {
    ++mallocs;
    last_size = size;
    if (refuses || size > kLimit) return nullptr;
    const std::size_t bytes = size + (size == 0);
    return std::memset(std::malloc(bytes), kDirt, bytes);
  }
  void free(void* p) {
    ++frees;
    std::free(p);
  }

  std::size_t alive() const { return mallocs - frees; }

  std::size_t mallocs = 0;  // calls, refused ones too
  std::size_t frees = 0;
  std::size_t last_size = 0;
  bool refuses = false;
};

// A RecordingHeap with every refinement. Sizes are kept by the C library.
struct FullRecordingHeap : RecordingHeap {
  std::size_t usable_size(const void* p) { return SizeOf(p); }
  void* memalign(std::size_t alignment, std::size_t size) {
    ++memaligns;
    last_size = size;
    if (refuses || size > kLimit) return nullptr;
    return Record(std::aligned_alloc(alignment, (Padded(size) + alignment - 1) & ~(alignment - 1)),
                  size);
  }
  void* malloc(std::size_t size) {
    ++mallocs;
    last_size = size;
    if (refuses || size > kLimit) return nullptr;
    return Record(std::malloc(Padded(size)), size);
  }
  void* malloc_zeroed(std::size_t size) {
    ++zeroed_mallocs;
    last_size = size;
    if (refuses || size > kLimit) return nullptr;
    return Record(std::calloc(Padded(size), 1), size);
  }
  void* try_resize(void* p, std::size_t size) {
    ++resizes;
    if (refuses || size > kLimit || !resizes_in_place) return nullptr;
    Forget(p);
    return Record(std::realloc(p, Padded(size)), size);
  }
  bool owns(const void* q) const { return Find(q) < kObjects; }
  void clear() {
    ++clears;
    for (Object& object : objects) {
      std::free(object.p);
      object = {};
    }
  }
  void free(void* p) {
    Forget(p);
    RecordingHeap::free(p);
  }

  std::size_t memaligns = 0;
  std::size_t zeroed_mallocs = 0;
  std::size_t resizes = 0;
  std::size_t clears = 0;
  bool resizes_in_place = true;

 private:
  static constexpr std::size_t kObjects = 256;
  struct Object {
    void* p = nullptr;
    std::size_t size = 0;
  };

  static std::size_t Padded(std::size_t size) { return size + (size == 0); }
  std::size_t Find(const void* p) const {
    std::size_t i = 0;
    while (i < kObjects && (p == nullptr || objects[i].p != p)) ++i;
    return i;
  }
  std::size_t SizeOf(const void* p) const {
    const std::size_t i = Find(p);
    return i < kObjects ? objects[i].size : 0;
  }
  void Forget(const void* p) {
    const std::size_t i = Find(p);
    if (i == kObjects) std::abort();  // freed by a layer, but never handed out here
    objects[i] = {};
  }
  void* Record(void* p, std::size_t size) {
    for (Object& object : objects) {
      if (object.p != nullptr) continue;
      object = {p, size};
      return p;
    }
    std::abort();
  }

  Object objects[kObjects];
};

static_assert(heaplayers::Heap<RecordingHeap>);
static_assert(heaplayers::ResizingHeap<FullRecordingHeap>);
