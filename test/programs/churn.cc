// The stress driver: threads allocate, grow and free objects of random size and alignment, hand
// them to each other, and check every object's contents whenever they meet it again.  Optionally
// the process forks children that do the same in their copy, and asks Mesh to compact while all
// that runs.
//
//   churn --threads=4 --seconds=5 --seed=1 --objects=20000 --max-size=4000000 --fork --compact
//
// The first line printed is the command that repeats the run; a failed check names file and line.
#include <malloc.h>
#include <sys/wait.h>

#include <atomic>
#include <chrono>
#include <cinttypes>
#include <memory>
#include <mutex>
#include <random>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "test/programs/check.h"

namespace {

struct Options {
  uint64_t threads = 4;
  uint64_t seconds = 5;
  uint64_t seed = 0;  // 0: a fresh one.
  uint64_t objects = 20000;
  uint64_t max_size = 4000000;
  bool fork = false;
  bool compact = false;
};

struct Object {
  unsigned char* data = nullptr;
  size_t size = 0;
  uint64_t tag = 0;  // Seeds the contents.
};

// One place of the table all threads share: whoever locks it checks, replaces or drops the object
// in it, so most objects are freed by another thread than the one that allocated them.
struct Place {
  std::mutex mutex;
  Object object;
};

unsigned char ByteAt(const Object& object, size_t at) {
  return static_cast<unsigned char>((object.tag + at) * 0x9e3779b97f4a7c15u >> 56);
}

// Large objects are written and checked at a stride, or the time would all go into them.
size_t Stride(size_t size) { return size <= 4096 ? 1 : 509; }

void Fill(const Object& object) {
  for (size_t at = 0; at < object.size; at += Stride(object.size)) {
    object.data[at] = ByteAt(object, at);
  }
}

void Check(const Object& object) {
  for (size_t at = 0; at < object.size; at += Stride(object.size)) {
    REQUIRE(object.data[at] == ByteAt(object, at));
  }
}

class Churner {
 public:
  Churner(const Options& options, uint64_t seed, std::vector<Place>* places)
      : options_(options), random_(seed), places_(places) {}

  // Runs `steps` steps; places that another thread holds are skipped, so that a forked child, where
  // such a place stays locked for ever, goes on.
  void Run(int steps) {
    for (int step = 0; step < steps; ++step) {
      Place& place = (*places_)[random_() % places_->size()];
      std::unique_lock<std::mutex> lock(place.mutex, std::try_to_lock);
      if (lock.owns_lock()) Step(&place.object);
    }
  }

 private:
  void Step(Object* object) {
    Check(*object);
    const uint64_t choice = random_() % 16;
    if (object->data == nullptr) {
      *object = Allocate();
    } else if (choice < 3) {
      Reallocate(object);
    } else if (choice < 12) {
      Free(object);
    }
  }

  Object Allocate() {
    Object object{nullptr, RandomSize(), random_()};
    size_t alignment = 1;
    switch (random_() % 8) {
      case 0:
        object.data = static_cast<unsigned char*>(calloc(object.size, 1));
        for (size_t at = 0; at < object.size; ++at) REQUIRE(object.data[at] == 0);
        break;
      case 1:
        alignment = size_t{16} << random_() % 9;
        object.data = static_cast<unsigned char*>(memalign(alignment, object.size));
        break;
      default:
        object.data = static_cast<unsigned char*>(malloc(object.size));
    }
    REQUIRE(object.data != nullptr);
    REQUIRE(reinterpret_cast<uintptr_t>(object.data) % alignment == 0);
    Fill(object);
    return object;
  }

  void Reallocate(Object* object) {
    Object fresh = *object;
    fresh.size = RandomSize();
    fresh.data = static_cast<unsigned char*>(realloc(object->data, fresh.size));
    REQUIRE(fresh.data != nullptr);
    // Only what both sizes had written: below 4096 every byte, above at the common stride.
    Object kept = fresh;
    kept.size = std::min(object->size, fresh.size);
    if (Stride(object->size) == Stride(kept.size)) Check(kept);
    Fill(fresh);
    *object = fresh;
  }

  void Free(Object* object) {
    errno = 99;
    free(object->data);
    REQUIRE(errno == 99);
    *object = Object{};
  }

  // Mostly small, as in real programs; one in 256 up to the limit.
  size_t RandomSize() {
    const uint64_t kind = random_() % 256;
    const uint64_t limit = kind < 200   ? 256
                           : kind < 240 ? 2048
                           : kind < 255 ? 40000
                                        : options_.max_size;
    return 1 + random_() % std::min(limit, options_.max_size);
  }

  const Options& options_;
  std::mt19937_64 random_;
  std::vector<Place>* places_;
};

// A copy of the process with this thread alone: checks what it inherited, then churns in it.
void ForkOnce(const Options& options, uint64_t seed, std::vector<Place>* places) {
  const pid_t child = fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    for (Place& place : *places) {
      if (!place.mutex.try_lock()) continue;
      Check(place.object);
      place.mutex.unlock();
    }
    if (options.compact) CompactIfMesh();
    Churner(options, seed, places).Run(5000);
    _exit(0);
  }
  int status = -1;
  REQUIRE(waitpid(child, &status, 0) == child);
  REQUIRE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

// Frees a random nine tenths of everything now and then: sparse spans are what meshing works on.
void Thin(std::mt19937_64* random, std::vector<Place>* places) {
  for (Place& place : *places) {
    if ((*random)() % 10 == 0) continue;
    const std::lock_guard<std::mutex> lock(place.mutex);
    Check(place.object);
    free(place.object.data);
    place.object = Object{};
  }
}

uint64_t Churn(const Options& options) {
  std::vector<Place> places(options.objects);
  std::atomic<bool> stop{false};
  std::atomic<uint64_t> steps{0};
  std::vector<std::thread> threads;
  for (uint64_t i = 0; i < options.threads; ++i) {
    threads.emplace_back([&, i] {
      constexpr int kBatch = 1000;
      // Threads end and begin all the time, with objects of theirs alive.
      for (uint64_t life = 0; !stop; ++life) {
        std::thread([&, life] {
          Churner churner(options, options.seed + 1000 * (i + 1) + life, &places);
          for (int batch = 0; batch < 50 && !stop; ++batch) {
            churner.Run(kBatch);
            steps += kBatch;
          }
        }).join();
      }
    });
  }
  std::mt19937_64 random(options.seed);
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(options.seconds);
  while (std::chrono::steady_clock::now() < end) {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    const uint64_t choice = random() % 8;
    if (choice == 0) Thin(&random, &places);
    if (options.compact && choice < 4) CompactIfMesh();
    if (options.fork && choice == 7) ForkOnce(options, random(), &places);
  }
  stop = true;
  for (std::thread& thread : threads) thread.join();
  for (Place& place : places) {
    Check(place.object);
    free(place.object.data);
  }
  return steps;
}

bool ParseOption(std::string_view argument, Options* options) {
  const struct {
    std::string_view name;
    uint64_t* value;
  } kNumbers[] = {{"--threads=", &options->threads},
                  {"--seconds=", &options->seconds},
                  {"--seed=", &options->seed},
                  {"--objects=", &options->objects},
                  {"--max-size=", &options->max_size}};
  for (const auto& number : kNumbers) {
    if (!argument.starts_with(number.name)) continue;
    *number.value = strtoull(argument.substr(number.name.size()).data(), nullptr, 10);
    return true;
  }
  options->fork |= argument == "--fork";
  options->compact |= argument == "--compact";
  return argument == "--fork" || argument == "--compact";
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  for (int i = 1; i < argc; ++i) {
    if (ParseOption(argv[i], &options)) continue;
    fprintf(stderr, "unknown option %s; the file's head lists them\n", argv[i]);
    return 2;
  }
  while (options.seed == 0) options.seed = std::random_device{}();
  printf("churn --threads=%" PRIu64 " --seconds=%" PRIu64 " --seed=%" PRIu64 " --objects=%" PRIu64
         " --max-size=%" PRIu64 "%s%s\n",
         options.threads, options.seconds, options.seed, options.objects, options.max_size,
         options.fork ? " --fork" : "", options.compact ? " --compact" : "");
  fflush(stdout);
  const uint64_t steps = Churn(options);
  printf("%" PRIu64 " steps, all contents right\n", steps);
  return 0;
}
