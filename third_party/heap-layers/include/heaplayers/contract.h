// The heap contract: what every layer offers, what it may expect of the layer below it, and the
// check that says in one sentence what a type lacks. The idea of building allocators from such
// layers is from Berger, Zorn and McKinley, "Composing High-Performance Memory Allocators",
// PLDI'01.
//
// Sizes and alignments are in bytes. What holds for every operation:
//   Threads   One thread at a time per heap object, unless the layer says more (LockedLayer).
//   Errors    A null pointer; nothing has changed then. Nothing throws. errno stays as it was,
//             except where a layer's purpose is to set it (ErrnoLayer, PosixAlignLayer).
//   Lifetime  Construction is constexpr and allocates nothing; destruction gives no memory back, so
//             that a heap in static storage may serve to the very end of the process.
//   Pointers  `p` is never null, came from this same heap, and has not been freed since.
#pragma once

#include <bit>
#include <concepts>
#include <cstddef>

namespace heaplayers {

// void* malloc(size_t size)
// Args:    any value. 0 is served like 1. SIZE_MAX stands for "more than there is": always refused,
//          so sums saturate there (arithmetic.h) and need no check of their own.
// Returns: at least `size` bytes of unspecified content at a multiple of kAlignment, overlapping no
//          other object; or null.
template <class T>
concept HasMalloc = requires(T& heap, std::size_t size) {
  { heap.malloc(size) } -> std::same_as<void*>;
};

// void free(void* p)
// Takes the object back; its content is gone.
template <class T>
concept HasFree = requires(T& heap, void* p) {
  { heap.free(p) } -> std::same_as<void>;
};

// static constexpr size_t kAlignment
// A power of two, at least alignof(void*), so that layers can keep pointers and sizes in a block.
// Each pointer that malloc() returns is a multiple of it, those to small objects included.
template <class T>
concept HasAlignment = requires {
  { T::kAlignment } -> std::convertible_to<std::size_t>;
  requires std::has_single_bit(static_cast<std::size_t>(T::kAlignment));
  requires T::kAlignment >= alignof(void*);
};

template <class T>
concept Heap = HasMalloc<T> && HasFree<T> && HasAlignment<T>;

// size_t usable_size(const void* p): bytes of the object that may be used, >= the size asked for.
template <class T>
concept SizedHeap = Heap<T> && requires(T& heap, void* p) {
  { heap.usable_size(p) } -> std::same_as<std::size_t>;
};

// void* memalign(size_t alignment, size_t size): malloc() at a multiple of `alignment`, a power of
// two. free() and the rest take the pointer like any other.
template <class T>
concept AligningHeap = Heap<T> && requires(T& heap, std::size_t n) {
  { heap.memalign(n, n) } -> std::same_as<void*>;
};

// void* malloc_zeroed(size_t size): malloc() whose first `size` bytes are zero. A heap has it when
// it can do better than clearing (fresh pages); ZeroingLayer adds it to the others.
template <class T>
concept ZeroingHeap = Heap<T> && requires(T& heap, std::size_t size) {
  { heap.malloc_zeroed(size) } -> std::same_as<void*>;
};

// void* try_resize(void* p, size_t size): makes the object at least `size` bytes without copying;
// returns its address, which may be a new one (then a multiple of kAlignment, `p` being gone), or
// null: the object is as before, and the caller has to copy.
template <class T>
concept ResizingHeap = SizedHeap<T> && requires(T& heap, void* p, std::size_t size) {
  { heap.try_resize(p, size) } -> std::same_as<void*>;
};

// bool owns(const void* q): whether `q` lies in this heap's memory. `q` may be any address.
template <class T>
concept OwningHeap = Heap<T> && requires(T& heap, const void* q) {
  { heap.owns(q) } -> std::same_as<bool>;
};

// void clear(): takes all objects back at once and returns what memory it can to the layer below.
template <class T>
concept ClearableHeap = Heap<T> && requires(T& heap) {
  { heap.clear() } -> std::same_as<void>;
};

// void* calloc(size_t count, size_t size): malloc_zeroed(count * size); null if that overflows.
template <class T>
concept CallocHeap = Heap<T> && requires(T& heap, std::size_t n) {
  { heap.calloc(n, n) } -> std::same_as<void*>;
};

// void* realloc(void* p, size_t size): an object of `size` bytes with the content of `p`, which is
// gone; or null, and `p` is as before. Null pointers and size 0 are AnsiLayer's business.
template <class T>
concept ReallocHeap = SizedHeap<T> && requires(T& heap, void* p, std::size_t size) {
  { heap.realloc(p, size) } -> std::same_as<void*>;
};

}  // namespace heaplayers

// At the top of a layer's body: stops the build with a sentence that names what `T` lacks. The
// compiler adds which stack of layers asked for it.
#define HEAP_LAYERS_REQUIRE(T)                                                                    \
  static_assert(::heaplayers::HasMalloc<T>, #T " is no Heap: `void* malloc(size_t)` is missing"); \
  static_assert(::heaplayers::HasFree<T>, #T " is no Heap: `void free(void*)` is missing");       \
  static_assert(::heaplayers::HasAlignment<T>, #T                                                 \
                " is no Heap: `static constexpr size_t kAlignment`, a power of two >= "           \
                "alignof(void*), is missing")

// The same for one refinement more, e.g. HEAP_LAYERS_REQUIRE_ALSO(SizedHeap, Super, "usable_size").
#define HEAP_LAYERS_REQUIRE_ALSO(Concept, T, member) \
  static_assert(::heaplayers::Concept<T>,            \
                #T " is no " #Concept ": `" member "` is missing (contract.h has its signature)")
