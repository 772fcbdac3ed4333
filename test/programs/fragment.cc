// A program that leaves its heap full of holes, for memory to be measured from outside.
//
// It fills the heap with objects of 16 to 1024 bytes (uniform), frees a random 90 % of them, idles
// as a server does (short sleeps), then checks every byte that is left. It speaks one JSON object a
// line on stdout, {"phase": ...}, and after each waits for a line on stdin, so that whoever runs it
// can measure at rest:
//
//   ready -> filled -> freed [-> compacted] -> settled -> checked
//
// Its own table (one pointer an object) is mapped and touched before "ready": what is measured
// there is the cost of the program without its heap. Room: test; uses no room of Mesh, and calls
// mesh_mallctl only if the preloaded library has it.
//
// Options: --mb=N (64), --free_percent=N (90), --idle_ms=N (3000), --seed=N (1), --compact.

#include <dlfcn.h>
#include <sys/mman.h>

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>

namespace {

constexpr std::size_t kMinBytes = 16;
constexpr std::size_t kMaxBytes = 1024;

struct Options {
  std::uint64_t mb = 64;
  std::uint64_t free_percent = 90;
  std::uint64_t idle_ms = 3000;
  std::uint64_t seed = 1;
  bool compact = false;
};

// Source: Steele, Lea, Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014.
std::uint64_t SplitMix(std::uint64_t x) {
  x += 0x9e3779b97f4a7c15u;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

// Everything about object `index` follows from the seed, so nothing but its address is stored.
struct Object {
  Object(const Options& options, std::uint64_t index)
      : hash(SplitMix(options.seed * 0x100000001b3u + index)),
        size(kMinBytes + hash % (kMaxBytes - kMinBytes + 1)),
        is_freed(SplitMix(hash) % 100 < options.free_percent) {}

  std::uint64_t hash;
  std::size_t size;
  bool is_freed;
};

unsigned char ContentAt(const Object& object, std::size_t i) {
  return static_cast<unsigned char>((object.hash >> 8 * (i % 8)) + i);
}

void Fill(const Object& object, unsigned char* bytes) {
  for (std::size_t i = 0; i < object.size; ++i) bytes[i] = ContentAt(object, i);
}

bool IsIntact(const Object& object, const unsigned char* bytes) {
  for (std::size_t i = 0; i < object.size; ++i) {
    if (bytes[i] != ContentAt(object, i)) return false;
  }
  return true;
}

[[noreturn]] void Die(const char* what) {
  std::fprintf(stderr, "fragment: %s\n", what);
  std::exit(2);
}

bool ParseNumber(const char* argument, const char* name, std::uint64_t* value) {
  const std::size_t length = std::strlen(name);
  if (std::strncmp(argument, name, length) != 0) return false;
  char* end = nullptr;
  *value = std::strtoull(argument + length, &end, 10);
  if (end == argument + length || *end != '\0') Die("an option needs a whole number");
  return true;
}

Options ParseOptions(int argc, char** argv) {
  Options options;
  for (int i = 1; i < argc; ++i) {
    if (std::strcmp(argv[i], "--compact") == 0) {
      options.compact = true;
    } else if (!ParseNumber(argv[i], "--mb=", &options.mb) &&
               !ParseNumber(argv[i], "--free_percent=", &options.free_percent) &&
               !ParseNumber(argv[i], "--idle_ms=", &options.idle_ms) &&
               !ParseNumber(argv[i], "--seed=", &options.seed)) {
      Die("unknown option; known: --mb=N --free_percent=N --idle_ms=N --seed=N --compact");
    }
  }
  if (options.mb == 0 || options.mb > 1 << 20 || options.free_percent > 100) {
    Die("--mb must be 1 to 1048576, --free_percent 0 to 100");
  }
  return options;
}

// Tells the observer where we are and waits until it has measured; no answer means that it has
// gone, and so do we.
void Report(const char* phase, std::uint64_t live_bytes, std::uint64_t objects, double ms,
            std::uint64_t wrong) {
  std::printf(
      "{\"phase\": \"%s\", \"live_bytes\": %llu, \"objects\": %llu, \"ms\": %.1f, \"wrong\": "
      "%llu}\n",
      phase, static_cast<unsigned long long>(live_bytes), static_cast<unsigned long long>(objects),
      ms, static_cast<unsigned long long>(wrong));
  std::fflush(stdout);
  char line[16];
  if (std::fgets(line, sizeof(line), stdin) == nullptr) std::exit(0);
}

class Stopwatch {
 public:
  double ms() const {
    return std::chrono::duration<double, std::milli>(Clock::now() - start_).count();
  }

 private:
  using Clock = std::chrono::steady_clock;
  Clock::time_point start_ = Clock::now();
};

// Sleeps in short naps: an allocator that works before a thread blocks gets its chances.
void Idle(std::uint64_t ms) {
  constexpr std::uint64_t kNapMs = 10;
  const timespec nap = {0, kNapMs * 1'000'000};
  for (std::uint64_t slept = 0; slept < ms; slept += kNapMs) nanosleep(&nap, nullptr);
}

// Returns false where the allocator has no such call.
bool Compact() {
  using Mallctl = int (*)(const char*, void*, std::size_t*, void*, std::size_t);
  const auto mallctl = reinterpret_cast<Mallctl>(dlsym(RTLD_DEFAULT, "mesh_mallctl"));
  return mallctl != nullptr && mallctl("mesh.compact", nullptr, nullptr, nullptr, 0) == 0;
}

class Heap {
 public:
  explicit Heap(const Options& options) : options_(options) {
    const std::uint64_t wanted = options.mb << 20;
    for (std::uint64_t bytes = 0; bytes < wanted; ++count_) bytes += Object(options, count_).size;
    void* table = mmap(nullptr, count_ * sizeof(*objects_), PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    if (table == MAP_FAILED) Die("no memory for the table of objects");
    objects_ = static_cast<unsigned char**>(table);
  }

  void FillAll() {
    for (std::uint64_t i = 0; i < count_; ++i) {
      const Object object(options_, i);
      objects_[i] = static_cast<unsigned char*>(std::malloc(object.size));
      if (objects_[i] == nullptr) Die("malloc failed");
      Fill(object, objects_[i]);
      live_bytes_ += object.size;
      ++live_;
    }
  }

  void FreeSome() {
    for (std::uint64_t i = 0; i < count_; ++i) {
      const Object object(options_, i);
      if (!object.is_freed) continue;
      std::free(objects_[i]);
      objects_[i] = nullptr;
      live_bytes_ -= object.size;
      --live_;
    }
  }

  std::uint64_t CountWrong() const {
    std::uint64_t wrong = 0;
    for (std::uint64_t i = 0; i < count_; ++i) {
      if (objects_[i] != nullptr && !IsIntact(Object(options_, i), objects_[i])) ++wrong;
    }
    return wrong;
  }

  std::uint64_t live() const { return live_; }
  std::uint64_t live_bytes() const { return live_bytes_; }

 private:
  const Options& options_;
  unsigned char** objects_ = nullptr;
  std::uint64_t count_ = 0;
  std::uint64_t live_ = 0;
  std::uint64_t live_bytes_ = 0;
};

}  // namespace

int main(int argc, char** argv) {
  const Options options = ParseOptions(argc, argv);
  Heap heap(options);
  Report("ready", 0, 0, 0, 0);

  const Stopwatch fill;
  heap.FillAll();
  Report("filled", heap.live_bytes(), heap.live(), fill.ms(), 0);

  const Stopwatch release;
  heap.FreeSome();
  Report("freed", heap.live_bytes(), heap.live(), release.ms(), 0);

  if (options.compact) {
    const Stopwatch compact;
    if (Compact()) Report("compacted", heap.live_bytes(), heap.live(), compact.ms(), 0);
  }

  Idle(options.idle_ms);
  Report("settled", heap.live_bytes(), heap.live(), static_cast<double>(options.idle_ms), 0);

  const Stopwatch check;
  const std::uint64_t wrong = heap.CountWrong();
  Report("checked", heap.live_bytes(), heap.live(), check.ms(), wrong);
  return wrong == 0 ? 0 : 1;
}
