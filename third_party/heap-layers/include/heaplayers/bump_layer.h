// BumpLayer: takes chunks from the heap below and hands them out from front to back. The cheapest
// way to make objects that are never freed one by one, or that a FreelistLayer above keeps.
//
//   chunk:  | next chunk, padded | object | object | ...  cursor_ -> free ...  <- limit_ |
//
// Threads: one at a time. Memory goes back by clear() only; the rest of a chunk that is too small
// for a request is lost until then.
#pragma once

#include <cstddef>
#include <new>

#include "heaplayers/arithmetic.h"
#include "heaplayers/contract.h"

namespace heaplayers {

template <std::size_t kChunkBytes, class Super>
class BumpLayer : private Super {
  HEAP_LAYERS_REQUIRE(Super);
  struct Chunk {
    Chunk* next;
  };

 public:
  static constexpr std::size_t kAlignment = Super::kAlignment;

  using Super::Super;
  constexpr BumpLayer() = default;
  BumpLayer(const BumpLayer&) = delete;
  BumpLayer& operator=(const BumpLayer&) = delete;

  void* malloc(std::size_t size) {
    const std::size_t need = RoundUp(Larger(size, 1), kAlignment);
    if (need > static_cast<std::size_t>(limit_ - cursor_) && !AddChunk(need)) return nullptr;
    void* p = cursor_;
    cursor_ += need;
    return p;
  }

  void free(void*) {}

  void clear() {
    while (chunks_ != nullptr) {
      Chunk* next = chunks_->next;
      Super::free(chunks_);
      chunks_ = next;
    }
    cursor_ = limit_ = nullptr;
  }

 private:
  static constexpr std::size_t kHeadBytes = RoundUp(sizeof(Chunk), kAlignment);

  bool AddChunk(std::size_t need) {
    const std::size_t bytes = Larger(kChunkBytes, SaturatingAdd(need, kHeadBytes));
    auto* start = static_cast<std::byte*>(Super::malloc(bytes));
    if (start == nullptr) return false;
    chunks_ = ::new (static_cast<void*>(start)) Chunk{chunks_};
    cursor_ = start + kHeadBytes;
    limit_ = start + bytes;
    return true;
  }

  Chunk* chunks_ = nullptr;  // newest first
  std::byte* cursor_ = nullptr;
  std::byte* limit_ = nullptr;
};

}  // namespace heaplayers
