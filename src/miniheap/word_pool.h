// WordPool: where the bitmaps of spans lie that have more slots than a record has room for.
//
// A record holds 64 bits, which is all that most spans need. Those of 16, 32 and 48 bytes, and long
// ones, have a piece of 2 or 4 words here for as long as they live.
// Room: miniheap; above arena. Locks: the size class's, taken by the caller.
#pragma once

#include <cstdint>

namespace mesh {

class WordPool {
 public:
  constexpr WordPool() = default;

  // A piece of `words` words, 2 or 4, all zeros; null when out of memory.
  uint64_t* Take(uint32_t words);
  // Gives a piece back, to be taken again; its memory stays with the pool.
  void Give(uint64_t* piece, uint32_t words);

 private:
  // Bytes that the pool takes at a time.
  static constexpr uint32_t kBlockBytes = 512;

  uint64_t* free_[2] = {};    // pieces of 2 and of 4 words, linked through their first
  uint64_t* next_ = nullptr;  // what is left of the last block
  uint32_t left_ = 0;         // words
};

}  // namespace mesh
