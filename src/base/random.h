// Random: the fast generator behind slot placement. Not for secrets.
//
// xorshift64* (Vigna, "An experimental exploration of Marsaglia's xorshift generators, scrambled",
// 2016): 8 bytes of state, three shifts and a multiplication a number.
// Room: base. Thread rule: one thread per generator.
#pragma once

#include <cstdint>

namespace mesh {

class Random {
 public:
  constexpr explicit Random(uint64_t seed = 1) { Seed(seed); }

  // Any seed is good: it is spread by splitmix64, and 0 becomes something else.
  constexpr void Seed(uint64_t seed) {
    uint64_t z = seed + 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    state_ = (z ^ (z >> 31)) | 1;
  }

  uint64_t Next() {
    state_ ^= state_ >> 12;
    state_ ^= state_ << 25;
    state_ ^= state_ >> 27;
    return state_ * 0x2545f4914f6cdd1du;
  }

  // A number in [0, bound), bound > 0. The bias is below bound / 2^32: none that placement notices.
  uint32_t Below(uint32_t bound) { return static_cast<uint32_t>(((Next() >> 32) * bound) >> 32); }

 private:
  uint64_t state_ = 0;
};

}  // namespace mesh
