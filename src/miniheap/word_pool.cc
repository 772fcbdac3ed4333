// See word_pool.h.
#include "src/miniheap/word_pool.h"

#include <cstring>

#include "src/arena/metadata.h"
#include "src/base/check.h"

namespace mesh {

uint64_t* WordPool::Take(uint32_t words) {
  MESH_DCHECK(words == 2 || words == 4);
  uint64_t*& head = free_[words / 4];
  uint64_t* piece = head;
  if (piece != nullptr) {
    head = reinterpret_cast<uint64_t*>(piece[0]);
    memset(piece, 0, words * sizeof(uint64_t));
    return piece;
  }
  if (left_ < words) {
    // A rest of two words goes to those who need no more.
    if (left_ == 2) Give(next_, 2);
    left_ = 0;
    next_ = static_cast<uint64_t*>(AllocateMetadata(kBlockBytes));
    if (next_ == nullptr) return nullptr;
    left_ = kBlockBytes / sizeof(uint64_t);
  }
  piece = next_;
  next_ += words;
  left_ -= words;
  return piece;
}

void WordPool::Give(uint64_t* piece, uint32_t words) {
  uint64_t*& head = free_[words / 4];
  piece[0] = reinterpret_cast<uintptr_t>(head);
  head = piece;
}

}  // namespace mesh
