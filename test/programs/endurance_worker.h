// What a thread of barrier_endurance.cc does: stores and file reads into small heap objects, and a
// look at each object's contents whenever it is met again.
//
// All contents are pieces of one file of random bytes, so that an object's right contents are known
// by an offset, and what read(2) brings is as good as what a loop stores.
#ifndef TEST_PROGRAMS_ENDURANCE_WORKER_H_
#define TEST_PROGRAMS_ENDURANCE_WORKER_H_

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>
#include <vector>

#include "test/programs/check.h"

inline constexpr std::size_t kMinBytes = 16;
inline constexpr std::size_t kMaxBytes = 1024;
inline constexpr std::size_t kFileBytes = 1 << 20;
// Some 20 ms of a thread: passes come between two waves, and meet objects in use.
inline constexpr std::uint64_t kStepsPerWave = 100'000;

struct Options {
  std::uint64_t threads = 4;
  std::uint64_t seconds = 10;
  std::uint64_t passes = 0;
  std::uint64_t mb = 16;
  std::uint64_t free_percent = 80;
  std::uint64_t seed = 1;
  std::uint64_t fork_every = 0;
};

// The file all contents come from, and a read-only view of it that is no heap memory.
class Source {
 public:
  explicit Source(std::uint64_t seed) : file_(memfd_create("source", MFD_CLOEXEC)) {
    REQUIRE(file_ >= 0);
    std::mt19937_64 random(seed);
    for (std::size_t at = 0; at < kFileBytes; at += sizeof(std::uint64_t)) {
      const std::uint64_t word = random();
      REQUIRE(write(file_, &word, sizeof(word)) == sizeof(word));
    }
    void* view = mmap(nullptr, kFileBytes, PROT_READ, MAP_SHARED, file_, 0);
    REQUIRE(view != MAP_FAILED);
    bytes_ = static_cast<const unsigned char*>(view);
  }

  // A descriptor with a file position of its own.
  int Open() const {
    char path[64];
    std::snprintf(path, sizeof(path), "/proc/self/fd/%d", file_);
    const int opened = open(path, O_RDONLY | O_CLOEXEC);
    REQUIRE(opened >= 0);
    return opened;
  }

  const unsigned char* at(std::size_t offset) const { return bytes_ + offset; }

 private:
  const int file_;
  const unsigned char* bytes_ = nullptr;
};

struct Counts {
  std::uint64_t stores = 0;
  std::uint64_t reads = 0;
  std::uint64_t allocations = 0;
  std::uint64_t frees = 0;
  std::uint64_t lost = 0;
  std::uint64_t efaults = 0;
  std::uint64_t failed_calls = 0;

  void Add(const Counts& other) {
    stores += other.stores;
    reads += other.reads;
    allocations += other.allocations;
    frees += other.frees;
    lost += other.lost;
    efaults += other.efaults;
    failed_calls += other.failed_calls;
  }
};

// A live object holds the `size` bytes of the file from `offset`.
struct Object {
  unsigned char* data = nullptr;
  std::size_t size = 0;
  std::size_t offset = 0;
};

// One thread's objects, and what it does to them.
class Worker {
 public:
  Worker(const Options& options, const Source& source, std::uint64_t index)
      : options_(options), source_(source), random_(options.seed * 1000 + index) {
    file_ = source.Open();
    const std::uint64_t share = (options.mb << 20) / options.threads;
    objects_.resize(share / ((kMinBytes + kMaxBytes) / 2) + 2);
  }
  ~Worker() { close(file_); }

  // Leaves spans that are full of holes: something to mesh.
  void Wave() {
    for (Object& object : objects_) {
      if (object.data == nullptr) Allocate(&object);
    }
    for (Object& object : objects_) {
      if (random_() % 100 < options_.free_percent) Free(&object);
    }
  }

  // Until `stop`, then a last look at everything.
  void Run(const std::atomic<bool>& stop) {
    for (std::uint64_t step = 1; !stop; ++step) {
      Step(&Pick());
      if (step % kStepsPerWave == 0) Wave();
    }
    for (Object& object : objects_) {
      if (object.data != nullptr) Free(&object);
    }
  }

  const Counts& counts() const { return counts_; }

 private:
  // Of 256 visits to a live object, that free it. Of visits to an empty place, that allocate: the
  // two flows are equal where `free_percent` of the places are empty.
  static constexpr std::uint64_t kFreesOf256 = 16;
  std::uint64_t AllocationsOf25600() const {
    const std::uint64_t live_percent = 100 - options_.free_percent;
    const std::uint64_t empty_percent = options_.free_percent == 0 ? 1 : options_.free_percent;
    return kFreesOf256 * 100 * live_percent / empty_percent;
  }

  Object& Pick() { return objects_[random_() % objects_.size()]; }

  void Step(Object* object) {
    if (object->data == nullptr) {
      if (random_() % 25600 < AllocationsOf25600()) Allocate(object);
      return;
    }
    Check(*object);
    if (random_() % 256 < kFreesOf256) return Free(object);
    switch (random_() % 4) {
      case 0:
        return Store(object);
      case 1:
        return Read(object);
      case 2:
        return PositionedRead(object);
      default:
        return VectoredRead(object);
    }
  }

  void Allocate(Object* object) {
    object->size = kMinBytes + random_() % (kMaxBytes - kMinBytes + 1);
    object->data = static_cast<unsigned char*>(malloc(object->size));
    REQUIRE(object->data != nullptr);
    counts_.allocations++;
    Store(object);
  }

  void Free(Object* object) {
    Check(*object);
    free(object->data);
    object->data = nullptr;
    counts_.frees++;
  }

  // A wrong object is put right, so that each loss counts once.
  void Check(const Object& object) {
    if (memcmp(object.data, source_.at(object.offset), object.size) == 0) return;
    counts_.lost++;
    memcpy(object.data, source_.at(object.offset), object.size);
  }

  std::size_t NewOffset() { return random_() % (kFileBytes - 2 * kMaxBytes); }

  // Byte by byte, so that a mesh can come in the middle.
  void Store(Object* object) {
    object->offset = NewOffset();
    const unsigned char* from = source_.at(object->offset);
    volatile unsigned char* to = object->data;
    for (std::size_t i = 0; i < object->size; ++i) to[i] = from[i];
    counts_.stores++;
  }

  void Read(Object* object) {
    object->offset = NewOffset();
    REQUIRE(lseek(file_, static_cast<off_t>(object->offset), SEEK_SET) >= 0);
    Judge(object, read(file_, object->data, object->size), object->size);
  }

  void PositionedRead(Object* object) {
    object->offset = NewOffset();
    const auto at = static_cast<off_t>(object->offset);
    Judge(object, pread(file_, object->data, object->size, at), object->size);
  }

  // One call that fills two objects, the second of which may lie anywhere.
  void VectoredRead(Object* object) {
    Object& second = Pick();
    if (second.data == nullptr || &second == object) return PositionedRead(object);
    Check(second);
    object->offset = NewOffset();
    second.offset = object->offset + object->size;
    REQUIRE(lseek(file_, static_cast<off_t>(object->offset), SEEK_SET) >= 0);
    const iovec parts[] = {{object->data, object->size}, {second.data, second.size}};
    const std::size_t whole = object->size + second.size;
    Judge(object, readv(file_, parts, 2), whole);
    Check(second);
  }

  // A call that has failed is counted, and the object made right, so that it is no lost store too.
  void Judge(Object* object, ssize_t result, std::size_t wanted) {
    counts_.reads++;
    if (result == static_cast<ssize_t>(wanted)) return Check(*object);
    if (result < 0 && errno == EFAULT) {
      counts_.efaults++;
    } else {
      counts_.failed_calls++;
    }
    memcpy(object->data, source_.at(object->offset), object->size);
  }

  const Options& options_;
  const Source& source_;
  std::mt19937_64 random_;
  std::vector<Object> objects_;
  Counts counts_;
  int file_ = -1;
};

#endif  // TEST_PROGRAMS_ENDURANCE_WORKER_H_
