// Arithmetic on sizes that cannot wrap around. Used by every layer that makes a request larger than
// it was (headers, padding, counts): a sum or product that does not fit becomes kImpossible, which
// every heap refuses by contract, so that no layer needs an overflow check of its own.
//
// Threads: pure functions. Allocates nothing.
#pragma once

#include <cstddef>
#include <cstdint>

namespace heaplayers {

// A request that no heap can meet [bytes].
inline constexpr std::size_t kImpossible = SIZE_MAX;

constexpr std::size_t SaturatingAdd(std::size_t a, std::size_t b) {
  std::size_t sum = 0;
  return __builtin_add_overflow(a, b, &sum) ? kImpossible : sum;
}

constexpr std::size_t SaturatingMultiply(std::size_t a, std::size_t b) {
  std::size_t product = 0;
  return __builtin_mul_overflow(a, b, &product) ? kImpossible : product;
}

// Rounds up to a multiple of `unit`, a power of two; kImpossible stays what it is.
constexpr std::size_t RoundUp(std::size_t size, std::size_t unit) {
  const std::size_t sum = SaturatingAdd(size, unit - 1);
  return sum == kImpossible ? kImpossible : sum & ~(unit - 1);
}

// By hand: std::has_single_bit() calls libgcc's popcount on a baseline x86-64.
constexpr bool IsPowerOfTwo(std::size_t n) { return n != 0 && (n & (n - 1)) == 0; }

constexpr std::size_t Larger(std::size_t a, std::size_t b) { return a < b ? b : a; }
constexpr std::size_t Smaller(std::size_t a, std::size_t b) { return a < b ? a : b; }

}  // namespace heaplayers
