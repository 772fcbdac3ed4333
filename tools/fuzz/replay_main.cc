// main() of a fuzz target in ordinary builds: a short deterministic run, so that `bazel test`
// keeps every target compiling and alive without libFuzzer.
//
//   TARGET [--generated=COUNT] [FILE...]
//
// Each file is fed to LLVMFuzzerTestOneInput as it is; then COUNT inputs, drawn from a fixed
// generator: every other one is random, the rest are files with some of their bytes changed.
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <random>
#include <string_view>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace {

using Input = std::vector<std::uint8_t>;

// Where nothing is said.
constexpr std::size_t kInputs = 200;
constexpr std::size_t kMaxRandomLength = 3200;
// Of a changed file: one byte in so many.
constexpr std::size_t kBytesToAChange = 16;

class Generator {
 public:
  explicit Generator(const std::vector<Input>& seeds) : seeds_(seeds) {}

  Input Next() {
    const bool is_random = seeds_.empty() || (count_++ & 1) == 0;
    return is_random ? Random() : Changed(seeds_[random_() % seeds_.size()]);
  }

 private:
  Input Random() {
    Input input(random_() % kMaxRandomLength);
    for (std::uint8_t& byte : input) byte = static_cast<std::uint8_t>(random_());
    return input;
  }

  Input Changed(Input input) {
    for (std::size_t i = 0; i < input.size() / kBytesToAChange + 1 && !input.empty(); ++i) {
      input[random_() % input.size()] = static_cast<std::uint8_t>(random_());
    }
    return input;
  }

  const std::vector<Input>& seeds_;
  std::mt19937 random_{1};
  std::size_t count_ = 0;
};

bool ReadFile(const char* path, Input* input) {
  std::ifstream file(path, std::ios::binary);
  if (!file) {
    std::fprintf(stderr, "cannot read %s\n", path);
    return false;
  }
  input->assign(std::istreambuf_iterator<char>(file), {});
  return true;
}

}  // namespace

int main(int argc, char** argv) {
  constexpr std::string_view kGenerated = "--generated=";
  std::size_t generated = kInputs;
  std::vector<Input> seeds;
  for (int i = 1; i < argc; ++i) {
    if (std::string_view(argv[i]).starts_with(kGenerated)) {
      generated = std::strtoul(argv[i] + kGenerated.size(), nullptr, 10);
    } else if (!ReadFile(argv[i], &seeds.emplace_back())) {
      return 1;
    }
  }
  for (const Input& seed : seeds) LLVMFuzzerTestOneInput(seed.data(), seed.size());
  Generator generator(seeds);
  for (std::size_t i = 0; i < generated; ++i) {
    const Input input = generator.Next();
    LLVMFuzzerTestOneInput(input.data(), input.size());
  }
  return 0;
}
