// Size classes as a policy of SegregatedLayer: which sizes share a heap, as pure functions.
#pragma once

#include <bit>
#include <concepts>
#include <cstddef>

namespace heaplayers {

// kCount classes, 0 to kCount - 1, of rising size. ClassOf(size) is the first whose SizeOf() is at
// least `size`, for sizes from 0 to kMaxSize, the size of the last class. ClassOf(SizeOf(c)) == c.
template <class T>
concept SizeClasses = requires(std::size_t n) {
  { T::kCount } -> std::convertible_to<std::size_t>;
  { T::kMaxSize } -> std::convertible_to<std::size_t>;
  { T::ClassOf(n) } -> std::same_as<std::size_t>;
  { T::SizeOf(n) } -> std::same_as<std::size_t>;
};

// kSmallest, twice that, and so on to kLargest; wastes less than half of an object.
template <std::size_t kSmallest, std::size_t kLargest>
struct PowerOfTwoClasses {
  static_assert(std::has_single_bit(kSmallest) && std::has_single_bit(kLargest));
  static_assert(kSmallest <= kLargest);

  static constexpr std::size_t kMaxSize = kLargest;
  static constexpr std::size_t kCount = std::bit_width(kLargest / kSmallest);

  static constexpr std::size_t ClassOf(std::size_t size) {
    return size <= kSmallest ? 0 : std::bit_width((size - 1) / kSmallest);
  }
  static constexpr std::size_t SizeOf(std::size_t size_class) { return kSmallest << size_class; }
};

}  // namespace heaplayers
