// SegregatedLayer: one heap (Bin) for each size class and one (Large) for what is larger than all
// classes. Every request to a bin is made for the class's full size, so a bin can be a
// FreelistLayer.
//
// The class at free() is told by usable_size(), which therefore has to be known from the object
// alone and alike in Bin and Large, as SizeHeaderLayer does it (or a page table): any bin is asked.
// Threads: one at a time.
#pragma once

#include <cstddef>

#include "heaplayers/arithmetic.h"
#include "heaplayers/contract.h"
#include "heaplayers/size_classes.h"
#include "heaplayers/zeroing_layer.h"

namespace heaplayers {

template <SizeClasses Classes, class Bin, class Large>
class SegregatedLayer {
  HEAP_LAYERS_REQUIRE(Bin);
  HEAP_LAYERS_REQUIRE(Large);
  HEAP_LAYERS_REQUIRE_ALSO(SizedHeap, Bin, "usable_size");

 public:
  static constexpr std::size_t kAlignment = Smaller(Bin::kAlignment, Large::kAlignment);

  void* malloc(std::size_t size) {
    if (size > Classes::kMaxSize) return large_.malloc(size);
    const std::size_t size_class = Classes::ClassOf(size);
    return bins_[size_class].malloc(Classes::SizeOf(size_class));
  }

  void* malloc_zeroed(std::size_t size) {
    if (size > Classes::kMaxSize) return MallocZeroed(large_, size);
    return Cleared(malloc(size), size);
  }

  void free(void* p) {
    const std::size_t size = usable_size(p);
    if (size > Classes::kMaxSize) return large_.free(p);
    bins_[Classes::ClassOf(size)].free(p);
  }

  std::size_t usable_size(const void* p) { return bins_[0].usable_size(p); }

  // Only large objects that stay large; the others have the size of their class.
  void* try_resize(void* p, std::size_t size) requires ResizingHeap<Large> {
    const bool stays_large = size > Classes::kMaxSize && usable_size(p) > Classes::kMaxSize;
    return stays_large ? large_.try_resize(p, size) : nullptr;
  }

  void clear() requires ClearableHeap<Bin> && ClearableHeap<Large> {
    for (Bin& bin : bins_) bin.clear();
    large_.clear();
  }

 private:
  Bin bins_[Classes::kCount];
  [[no_unique_address]] Large large_;
};

}  // namespace heaplayers
