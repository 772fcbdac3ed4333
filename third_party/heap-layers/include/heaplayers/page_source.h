// PageSource: each object is a run of whole pages of its own, mapped at malloc() and unmapped at
// free(); MmapSource is the one over mmap(2). For large objects, and for the chunks of a BumpLayer.
// The run's place is kept in a head directly in front of the object:
//
//   base            p - sizeof(Head)  p                                base + length
//   | (to align p)  | Head            | object ...                     |
//
// Threads: any number at once, if the Pages policy allows it (MmapPages does); there is no state.
// Cost: one system call for each operation. Pages that nobody touches cost no memory.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>

#include "heaplayers/arithmetic.h"
#include "heaplayers/contract.h"
#include "heaplayers/mmap_pages.h"

namespace heaplayers {

// Pages: static Map(length), Unmap(base, length), Remap(base, length, new_length) and kPageSize;
// see MmapPages for what they promise.
template <class Pages>
class PageSource {
  struct Head {
    std::byte* base;
    std::size_t length;
  };

 public:
  static constexpr std::size_t kAlignment = sizeof(Head);
  static_assert(std::has_single_bit(sizeof(Head)));

  static void* malloc(std::size_t size) { return memalign(kAlignment, size); }

  // Fresh pages are zero already.
  static void* malloc_zeroed(std::size_t size) { return malloc(size); }

  static void* memalign(std::size_t alignment, std::size_t size) {
    const std::size_t lead = Larger(alignment, kAlignment);
    const std::size_t length = RoundUp(SaturatingAdd(size, lead), Pages::kPageSize);
    if (length == kImpossible) return nullptr;
    auto* base = static_cast<std::byte*>(Pages::Map(length));
    if (base == nullptr) return nullptr;
    // base is a multiple of kAlignment, so rounding up from past the head moves at most `lead`.
    const auto first = reinterpret_cast<std::uintptr_t>(base) + sizeof(Head);
    std::byte* p = base + sizeof(Head) + (RoundUp(first, lead) - first);
    *HeadOf(p) = {base, length};
    return p;
  }

  static void free(void* p) {
    const Head head = *HeadOf(p);
    Pages::Unmap(head.base, head.length);
  }

  static std::size_t usable_size(const void* p) {
    const Head& head = *HeadOf(p);
    return head.length - static_cast<std::size_t>(static_cast<const std::byte*>(p) - head.base);
  }

  // Grows or shrinks by moving page tables instead of bytes.
  static void* try_resize(void* p, std::size_t size) {
    const Head head = *HeadOf(p);
    const auto lead = static_cast<std::size_t>(static_cast<std::byte*>(p) - head.base);
    const std::size_t length = RoundUp(SaturatingAdd(size, lead), Pages::kPageSize);
    if (length == head.length) return p;
    if (length == kImpossible) return nullptr;
    auto* base = static_cast<std::byte*>(Pages::Remap(head.base, head.length, length));
    if (base == nullptr) return nullptr;
    *HeadOf(base + lead) = {base, length};
    return base + lead;
  }

 private:
  static Head* HeadOf(void* p) { return static_cast<Head*>(p) - 1; }
  static const Head* HeadOf(const void* p) { return static_cast<const Head*>(p) - 1; }
};

using MmapSource = PageSource<MmapPages>;

}  // namespace heaplayers
