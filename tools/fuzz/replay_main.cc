// main() of a fuzz target in ordinary builds: a short deterministic run, so that `bazel test`
// keeps every target compiling and alive without libFuzzer.
//
// Arguments are files; each is fed to LLVMFuzzerTestOneInput as it is.  Without arguments
// inputs of growing length are drawn from a fixed generator.
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <random>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace {

// Enough to reach every operation of a target; under a second in a debug build.
constexpr std::size_t kInputs = 200;
constexpr std::size_t kLengthStep = 16;

void RunGenerated() {
  std::mt19937 random(1);
  std::vector<std::uint8_t> input;
  for (std::size_t i = 0; i < kInputs; ++i) {
    input.resize(i * kLengthStep);
    for (std::uint8_t& byte : input) byte = static_cast<std::uint8_t>(random());
    LLVMFuzzerTestOneInput(input.data(), input.size());
  }
}

bool RunFile(const char* path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) {
    std::fprintf(stderr, "cannot read %s\n", path);
    return false;
  }
  const std::vector<char> bytes((std::istreambuf_iterator<char>(file)), {});
  LLVMFuzzerTestOneInput(reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size());
  return true;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc == 1) RunGenerated();
  for (int i = 1; i < argc; ++i) {
    if (!RunFile(argv[i])) return 1;
  }
  return 0;
}
