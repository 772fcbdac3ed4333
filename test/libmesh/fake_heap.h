// FakeHeap: a heap for the tests of libmesh's semantics. A bump pointer that keeps the size before
// each object, fails when told to, and counts what it is asked.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

namespace mesh {

class FakeHeap {
 public:
  static void Reset() {
    next_ = sizeof(memory_) / 2;
    failures_ = 0;
    freed_.clear();
    last_size_ = 0;
    last_alignment_ = 0;
    last_error_ = 0;
    memset(memory_, 0xa5, sizeof(memory_));
  }

  static void FailNext(int calls) { failures_ = calls; }
  static const std::vector<void*>& freed() { return freed_; }
  static size_t last_size() { return last_size_; }
  static size_t last_alignment() { return last_alignment_; }

  static void NoteError(int error) { last_error_ = error; }
  static int last_error() { return last_error_; }

  static void* TryMalloc(size_t) { return nullptr; }
  static void* Malloc(size_t size) { return AlignedAlloc(16, size); }

  static void* Calloc(size_t size) {
    void* object = Malloc(size);
    return object != nullptr ? memset(object, 0, size) : nullptr;
  }

  static void* Realloc(void* object, size_t size) {
    void* moved = Malloc(size);
    if (moved == nullptr) return nullptr;
    size_t old_size = UsableSize(object);
    memcpy(moved, object, old_size < size ? old_size : size);
    Free(object);
    return moved;
  }

  static void* AlignedAlloc(size_t alignment, size_t size) {
    last_size_ = size;
    last_alignment_ = alignment;
    if (failures_ > 0) {
      failures_--;
      return nullptr;
    }
    size_t at = (next_ + sizeof(size_t) + alignment - 1) & ~(alignment - 1);
    if (alignment > kAlignment || size > sizeof(memory_) || at > sizeof(memory_) - size) {
      return nullptr;
    }
    memcpy(memory_ + at - sizeof(size_t), &size, sizeof(size));
    next_ = at + size;
    return memory_ + at;
  }

  static void Free(void* object) {
    if (object != nullptr) freed_.push_back(object);
  }

  static size_t UsableSize(const void* object) {
    size_t size = 0;
    if (object != nullptr) {
      memcpy(&size, static_cast<const unsigned char*>(object) - sizeof(size_t), sizeof(size));
    }
    return size;
  }

 private:
  static constexpr size_t kAlignment = 8192;

  alignas(kAlignment) static inline unsigned char memory_[1 << 17];
  static inline size_t next_ = 0;
  static inline int failures_ = 0;
  static inline std::vector<void*> freed_;
  static inline size_t last_size_ = 0;
  static inline size_t last_alignment_ = 0;
  static inline int last_error_ = 0;
};

}  // namespace mesh
