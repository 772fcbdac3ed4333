// Replays a recorded sequence of calls (python/record_trace.py), in several copies that are at
// different places of it, over and over. Unit: a call.
//
// Usage: replay TRACE [options]. A line of a trace is a call on object number N:
//   m N SIZE    c N SIZE (calloc)    l N ALIGNMENT SIZE    r N SIZE (realloc)    f N
#include <cstring>
#include <vector>

#include "test/bench/shape.h"

namespace {

constexpr std::size_t kCopies = 16;

struct Call {
  char name;
  std::uint32_t object;
  std::size_t size;
  std::size_t alignment;
};

struct Trace {
  std::vector<Call> calls;
  std::size_t objects = 0;
};

Trace Read(const char* path) {
  Trace trace;
  std::FILE* file = std::fopen(path, "r");
  bench::Expect(file != nullptr, "cannot open the trace");
  char line[128];
  while (std::fgets(line, sizeof(line), file) != nullptr) {
    Call call{line[0], 0, 0, 0};
    if (call.name == '#') continue;
    const int fields = call.name == 'l' ? std::sscanf(line + 1, "%u %zu %zu", &call.object,
                                                      &call.alignment, &call.size)
                                        : std::sscanf(line + 1, "%u %zu", &call.object, &call.size);
    bench::Expect(fields >= (call.name == 'f' ? 1 : 2), "a line of the trace makes no sense");
    if (call.object >= trace.objects) trace.objects = call.object + std::size_t{1};
    trace.calls.push_back(call);
  }
  std::fclose(file);
  bench::Expect(!trace.calls.empty(), "the trace is empty");
  return trace;
}

// One copy of the traced program: where it is, and its objects.
class Copy {
 public:
  explicit Copy(const Trace& trace) : trace_(trace), objects_(trace.objects) {}
  Copy(Copy&&) = default;
  ~Copy() { End(); }

  // Makes the next call; at the end of the trace the program ends and begins again.
  void Step() {
    Make(trace_.calls[next_]);
    if (++next_ < trace_.calls.size()) return;
    End();
    next_ = 0;
  }

 private:
  struct Object {
    unsigned char* bytes = nullptr;
    std::size_t size = 0;
  };

  void Make(const Call& call) {
    Object& object = objects_[call.object];
    switch (call.name) {
      case 'm':
        return Put(object, bench::Malloc(call.size), call.size);
      case 'c':
        return Put(object, bench::Calloc(call.size), call.size);
      case 'l':
        return Put(object, bench::Aligned(call.alignment, call.size), call.size);
      case 'r':
        return Put(object, bench::Realloc(object.bytes, call.size), call.size);
      default:
        Drop(object);
    }
  }

  // Programs write to what they allocate: the first 64 bytes here, and the last.
  static void Put(Object& object, void* bytes, std::size_t size) {
    bench::Expect(bytes != nullptr || size == 0, "no memory");
    object = {static_cast<unsigned char*>(bytes), size};
    if (size == 0) return;
    std::memset(bytes, 0xA5, size < 64 ? size : 64);
    object.bytes[size - 1] = 0xA5;
  }

  static void Drop(Object& object) {
    if (object.bytes != nullptr && object.size != 0) {
      bench::Expect(object.bytes[0] == 0xA5 && object.bytes[object.size - 1] == 0xA5,
                    "an object has changed");
    }
    bench::Free(object.bytes);
    object = {};
  }

  void End() {
    for (Object& object : objects_) Drop(object);
  }

  const Trace& trace_;
  std::size_t next_ = 0;
  std::vector<Object> objects_;
};

}  // namespace

int main(int argc, char** argv) {
  bench::Expect(argc > 1, "usage: replay TRACE [options]");
  const Trace trace = Read(argv[1]);
  const bench::Shape shape(argc - 1, argv + 1, 3'000'000);
  std::vector<Copy> copies;
  for (std::size_t i = 0; i < kCopies; ++i) copies.emplace_back(trace);
  // Copy i is ahead by i parts of the trace, and they take turns of a random length.
  for (std::size_t i = 0; i < kCopies; ++i) {
    for (std::size_t n = 0; n < trace.calls.size() * i / kCopies; ++n) copies[i].Step();
  }
  bench::Random random(shape.seed());
  std::uint64_t done = 0;
  while (done < shape.units()) {
    Copy& copy = copies[random.Below(kCopies)];
    for (std::uint32_t turn = random.Below(64); turn > 0; --turn, ++done) copy.Step();
  }
  return shape.Report("call", done);
}
