// A heap full of holes: objects of 16 to 1024 bytes, or of twelve sizes with equal bytes in each,
// of which a random share is freed, or all but every N-th of objects that come one size after the
// other.
//
// What fragment.cc, whose memory is measured, and fork_time.cc have in common. Object sizes, their
// contents and which of them are freed follow from a seed, so that every byte can be checked and
// every allocator gets the same. Header only; uses nothing but malloc and free.
#ifndef TEST_PROGRAMS_HOLES_H_
#define TEST_PROGRAMS_HOLES_H_

#include <sys/mman.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>

namespace holes {

inline constexpr std::size_t kMinBytes = 16;
inline constexpr std::size_t kMaxBytes = 1024;
// With keep_every: objects of one size in a row; the sizes are powers of two.
inline constexpr std::uint64_t kRow = 8192;
// With twelve_sizes.
inline constexpr std::size_t kSizes[] = {16, 32, 48, 64, 96, 128, 192, 256, 384, 512, 1024, 2048};
inline constexpr std::uint64_t kSizeCount = sizeof(kSizes) / sizeof(kSizes[0]);

struct Shape {
  std::uint64_t mb = 64;
  std::uint64_t free_percent = 90;
  // 0, or which objects stay, instead of random ones.
  std::uint64_t keep_every = 0;
  std::uint64_t seed = 1;
  // Objects of kSizes, as many bytes of each; they come mixed, or with keep_every one size after
  // the other.
  std::uint64_t twelve_sizes = 0;
};

// One of kSizes, as often as it takes for equal bytes: in proportion to 1 / size. `random` is
// uniform.
constexpr std::size_t SizeOfEqualShare(std::uint64_t random) {
  constexpr std::uint64_t kScale = 6144;  // a multiple of all of them
  std::uint64_t sum = 0;
  for (std::size_t size : kSizes) sum += kScale / size;
  random %= sum;
  for (std::size_t size : kSizes) {
    if (random < kScale / size) return size;
    random -= kScale / size;
  }
  return kMaxBytes;
}

// Source: Steele, Lea, Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014.
inline std::uint64_t SplitMix(std::uint64_t x) {
  x += 0x9e3779b97f4a7c15u;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

// Everything about object `index` follows from the seed, so nothing but its address is stored.
struct Object {
  Object(const Shape& shape, std::uint64_t index)
      : hash(SplitMix(shape.seed * 0x100000001b3u + index)),
        size(SizeOf(shape, hash, index)),
        is_freed(shape.keep_every == 0 ? SplitMix(hash) % 100 < shape.free_percent
                                       : index % shape.keep_every != 0) {}

  static std::size_t SizeOf(const Shape& shape, std::uint64_t hash, std::uint64_t index) {
    if (shape.twelve_sizes == 0) {
      return shape.keep_every == 0 ? kMinBytes + hash % (kMaxBytes - kMinBytes + 1)
                                   : kMinBytes << index / kRow % 7;
    }
    if (shape.keep_every == 0) return SizeOfEqualShare(hash >> 20);
    // The objects of a round: kRow of the smallest size, and as many bytes of each of the others.
    std::uint64_t round = 0;
    for (std::size_t size : kSizes) round += kRow * kSizes[0] / size;
    std::uint64_t place = index % round;
    for (std::size_t size : kSizes) {
      if (place < kRow * kSizes[0] / size) return size;
      place -= kRow * kSizes[0] / size;
    }
    return kSizes[0];
  }

  unsigned char ContentAt(std::size_t i) const {
    return static_cast<unsigned char>((hash >> 8 * (i % 8)) + i);
  }

  void Fill(unsigned char* bytes) const {
    for (std::size_t i = 0; i < size; ++i) bytes[i] = ContentAt(i);
  }

  bool IsIntact(const unsigned char* bytes) const {
    for (std::size_t i = 0; i < size; ++i) {
      if (bytes[i] != ContentAt(i)) return false;
    }
    return true;
  }

  std::uint64_t hash;
  std::size_t size;
  bool is_freed;
};

[[noreturn]] inline void Die(const char* what) {
  std::fprintf(stderr, "%s\n", what);
  std::exit(2);
}

// The table (one pointer an object) is mapped and touched by the constructor, so that memory read
// after it is what the program costs without its heap.
class Heap {
 public:
  explicit Heap(const Shape& shape) : shape_(shape) {
    const std::uint64_t wanted = shape.mb << 20;
    for (std::uint64_t bytes = 0; bytes < wanted; ++count_) bytes += Object(shape, count_).size;
    void* table = mmap(nullptr, count_ * sizeof(*objects_), PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    if (table == MAP_FAILED) Die("no memory for the table of objects");
    objects_ = static_cast<unsigned char**>(table);
  }

  void FillAll() { FillPart(0, 1); }
  void FreeSome() { FreePartOf(0, 1); }
  // A first part of what FreeSome() frees, of random objects: until `percent` of all have gone.
  void FreeUpTo(std::uint64_t percent) {
    Shape shape = shape_;
    shape.free_percent = percent;
    FreePartOf(0, 1, shape);
  }

  // The same for one of `parts` equal parts. Parts may be filled, or freed, by a thread each.
  void FillPart(std::uint64_t part, std::uint64_t parts) {
    for (std::uint64_t i = Begin(part, parts); i < Begin(part + 1, parts); ++i) {
      const Object object(shape_, i);
      objects_[i] = static_cast<unsigned char*>(std::malloc(object.size));
      if (objects_[i] == nullptr) Die("malloc failed");
      object.Fill(objects_[i]);
      live_bytes_ += object.size;
      ++live_;
    }
  }
  void FreePartOf(std::uint64_t part, std::uint64_t parts) { FreePartOf(part, parts, shape_); }
  // Frees what is live, and the table: the end of the heap's use.
  void FreeRest() {
    for (std::uint64_t i = 0; i < count_; ++i) std::free(objects_[i]);
    munmap(objects_, count_ * sizeof(*objects_));
    count_ = 0;
    live_ = live_bytes_ = 0;
  }

  // Stores into every byte that is live; the contents stay.
  void Rewrite() {
    for (std::uint64_t i = 0; i < count_; ++i) {
      if (objects_[i] != nullptr) Object(shape_, i).Fill(objects_[i]);
    }
  }

  std::uint64_t CountWrong() const {
    std::uint64_t wrong = 0;
    for (std::uint64_t i = 0; i < count_; ++i) {
      if (objects_[i] != nullptr && !Object(shape_, i).IsIntact(objects_[i])) ++wrong;
    }
    return wrong;
  }

  std::uint64_t live() const { return live_; }
  std::uint64_t live_bytes() const { return live_bytes_; }

 private:
  void FreePartOf(std::uint64_t part, std::uint64_t parts, const Shape& shape) {
    for (std::uint64_t i = Begin(part, parts); i < Begin(part + 1, parts); ++i) {
      const Object object(shape, i);
      if (!object.is_freed || objects_[i] == nullptr) continue;
      std::free(objects_[i]);
      objects_[i] = nullptr;
      live_bytes_ -= object.size;
      --live_;
    }
  }

  std::uint64_t Begin(std::uint64_t part, std::uint64_t parts) const {
    return count_ * part / parts;
  }

  const Shape shape_;
  unsigned char** objects_ = nullptr;
  std::uint64_t count_ = 0;
  std::atomic<std::uint64_t> live_ = 0;
  std::atomic<std::uint64_t> live_bytes_ = 0;
};

}  // namespace holes

#endif  // TEST_PROGRAMS_HOLES_H_
