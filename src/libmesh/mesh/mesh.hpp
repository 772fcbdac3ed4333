// Mesh for C++: containers whose memory is Mesh's, heaps as objects, and a memory resource.
//
// Everything here is a thin layer over mesh.h, whose rules hold: any thread may use any of it at
// any time, sizes are in bytes. C++17 or newer; <memory_resource> where there is one.
//
//   std::vector<int, mesh::allocator<int>> numbers;                  // of the main heap
//
//   mesh::heap requests;                                             // objects of its own
//   std::list<int, mesh::allocator<int>> list{mesh::allocator<int>(requests)};
//
//   mesh::heap_resource resource;                                    // goes with all that is in it
//   std::pmr::unordered_map<int, std::pmr::string> table(&resource);
#ifndef MESH_MESH_HPP_
#define MESH_MESH_HPP_

#include <mesh/mesh.h>

#include <cstddef>
#include <cstdlib>
#include <limits>
#include <new>
#include <type_traits>
#include <utility>

#if defined(__has_include)
#if __has_include(<memory_resource>)
#include <memory_resource>
#define MESH_HAS_MEMORY_RESOURCE 1
#endif
#endif

namespace mesh {

namespace detail {

[[noreturn]] inline void throw_bad_alloc() {
#if defined(__cpp_exceptions)
  throw std::bad_alloc();
#else
  std::abort();
#endif
}

// From a heap, null for the main one. Throws std::bad_alloc; without exceptions it aborts.
inline void* allocate(mesh_heap_t* heap, std::size_t size, std::size_t alignment) {
  void* object = alignment <= alignof(std::max_align_t)
                     ? mesh_heap_malloc(heap, size)
                     : mesh_heap_malloc_aligned(heap, size, alignment);
  if (object == nullptr) throw_bad_alloc();
  return object;
}

}  // namespace detail

// A first-class heap. It is deleted when this object goes: objects that are left live on in the
// main heap. Moves as a pointer does; a moved-from one is empty.
class heap {
 public:
  // Throws std::bad_alloc.
  heap() : handle_(mesh_heap_new()) {
    if (handle_ == nullptr) detail::throw_bad_alloc();
  }
  ~heap() { mesh_heap_delete(handle_); }
  heap(heap&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
  heap& operator=(heap&& other) noexcept {
    std::swap(handle_, other.handle_);
    return *this;
  }
  heap(const heap&) = delete;
  heap& operator=(const heap&) = delete;

  // Ends the heap with all objects in it, without their destructors; it is empty afterwards.
  void destroy() { mesh_heap_destroy(std::exchange(handle_, nullptr)); }

  // Gives memory back, after meshing if `force`; bytes.
  std::size_t collect(bool force) { return mesh_heap_collect(handle_, force); }
  bool contains(const void* object) const {
    return handle_ != nullptr && mesh_heap_contains(handle_, object);
  }
  // For the functions of mesh.h.
  mesh_heap_t* get() const noexcept { return handle_; }

 private:
  mesh_heap_t* handle_;
};

// An allocator for standard containers: of the main heap, or of a heap that outlives what it has
// allocated. Two are equal if they allocate from the same heap. Throws std::bad_alloc.
template <typename T>
class allocator {
 public:
  using value_type = T;
  using size_type = std::size_t;
  using difference_type = std::ptrdiff_t;
  // A container that moves or swaps takes its memory along, and where more comes from.
  using propagate_on_container_move_assignment = std::true_type;
  using propagate_on_container_swap = std::true_type;
  using is_always_equal = std::false_type;

  constexpr allocator() noexcept = default;
  explicit allocator(const heap& from) noexcept : heap_(from.get()) {}
  template <typename U>
  constexpr allocator(const allocator<U>& other) noexcept : heap_(other.handle()) {}

  [[nodiscard]] T* allocate(std::size_t count) {
    if (count > std::numeric_limits<std::size_t>::max() / sizeof(T)) detail::throw_bad_alloc();
    return static_cast<T*>(detail::allocate(heap_, count * sizeof(T), alignof(T)));
  }
  void deallocate(T* object, std::size_t) noexcept { mesh_free(object); }

  // Null: the main heap.
  constexpr mesh_heap_t* handle() const noexcept { return heap_; }

 private:
  mesh_heap_t* heap_ = nullptr;
};

template <typename T, typename U>
constexpr bool operator==(const allocator<T>& a, const allocator<U>& b) noexcept {
  return a.handle() == b.handle();
}
template <typename T, typename U>
constexpr bool operator!=(const allocator<T>& a, const allocator<U>& b) noexcept {
  return !(a == b);
}

#if defined(MESH_HAS_MEMORY_RESOURCE)

// A heap as a memory resource. All its memory goes with it, in time by its spans and not by its
// objects, as that of std::pmr::monotonic_buffer_resource does; unlike there, what is deallocated
// is used again. Any thread may use it.
class heap_resource : public std::pmr::memory_resource {
 public:
  heap_resource() = default;
  ~heap_resource() override { heap_.destroy(); }
  heap_resource(const heap_resource&) = delete;
  heap_resource& operator=(const heap_resource&) = delete;

  // Gives all memory back at once; nothing that was allocated may be used any more.
  void release() {
    heap fresh;
    heap_.destroy();
    heap_ = std::move(fresh);
  }

  const heap& get() const noexcept { return heap_; }

 private:
  void* do_allocate(std::size_t size, std::size_t alignment) override {
    return detail::allocate(heap_.get(), size, alignment);
  }
  void do_deallocate(void* object, std::size_t, std::size_t) override { mesh_free(object); }
  bool do_is_equal(const std::pmr::memory_resource& other) const noexcept override {
    return this == &other;
  }

  heap heap_;
};

#endif

}  // namespace mesh

#endif  // MESH_MESH_HPP_
