// CheckedLayer: notices an object that is freed twice, or a pointer that was never handed out, by a
// seal in front of each object. For debug builds.
//
//   block below:  | free for the heap below | seal | (padding first) object ... |
//
// The seal is the word directly before the object, out of reach of a FreelistLayer's link, so it
// tells a second free until the memory is handed out again. Threads: as the heap below.
#pragma once

#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>

#include "heaplayers/arithmetic.h"
#include "heaplayers/contract.h"

namespace heaplayers {

// Report policy: one line on stderr, then abort(). A policy that returns makes the free a no-op.
struct AbortReport {
  static void Misuse(const char* sentence, const void*) {
    [[maybe_unused]] const auto written = write(STDERR_FILENO, sentence, std::strlen(sentence));
    std::abort();
  }
};

template <class Report, class Super>
class CheckedLayer : private Super {
  HEAP_LAYERS_REQUIRE(Super);

 public:
  static constexpr std::size_t kAlignment = Super::kAlignment;
  using Super::Super;

  void* malloc(std::size_t size) { return Seal(Super::malloc(SaturatingAdd(size, kHeadBytes))); }

  void free(void* p) {
    std::uintptr_t& seal = SealOf(p);
    if (seal == Mark(kFreed, p)) return Report::Misuse("heap-layers: object freed twice\n", p);
    if (seal != Mark(kLive, p)) return Report::Misuse("heap-layers: no object to free\n", p);
    seal = Mark(kFreed, p);
    Super::free(static_cast<std::byte*>(p) - kHeadBytes);
  }

  std::size_t usable_size(const void* p) requires SizedHeap<Super> {
    return Super::usable_size(static_cast<const std::byte*>(p) - kHeadBytes) - kHeadBytes;
  }
  void clear() requires ClearableHeap<Super> { Super::clear(); }

 private:
  // Arbitrary words, unlikely as data; mixed with the address so that a copied head is no seal.
  static constexpr std::uintptr_t kLive = static_cast<std::uintptr_t>(0x6c697665a7c31e55);
  static constexpr std::uintptr_t kFreed = static_cast<std::uintptr_t>(0x667265656b9d04e2);
  // Room for the link of a FreelistLayer below, then the seal.
  static constexpr std::size_t kHeadBytes = RoundUp(2 * sizeof(std::uintptr_t), kAlignment);

  static std::uintptr_t Mark(std::uintptr_t word, const void* p) {
    return word ^ reinterpret_cast<std::uintptr_t>(p);
  }
  static std::uintptr_t& SealOf(void* p) { return static_cast<std::uintptr_t*>(p)[-1]; }

  static void* Seal(void* block) {
    if (block == nullptr) return nullptr;
    void* p = static_cast<std::byte*>(block) + kHeadBytes;
    SealOf(p) = Mark(kLive, p);
    return p;
  }
};

}  // namespace heaplayers
