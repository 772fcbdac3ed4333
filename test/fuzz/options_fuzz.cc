// The environment, one variable a line: whatever it says, each option ends within its bounds, and
// what an option is printed as reads back as the same value.
#include <cstring>
#include <string>
#include <vector>

#include "src/base/check.h"
#include "src/config/options.h"
#include "test/fuzz/input.h"

namespace mesh {
namespace {

int problems = 0;

void CheckOption(const OptionSpec& spec, int64_t value) {
  MESH_CHECK(value >= spec.min && value <= spec.max);
  LineWriter line;
  FormatOptionValue(spec, value, &line);
  int64_t again = ~value;
  MESH_CHECK(ParseOptionValue(spec, line.view(), &again) && again == value);
}

void OnProblem(const OptionSpec& spec, std::string_view value) {
  problems++;
  LineWriter line;
  FormatOptionProblem(spec, value, &line);
  MESH_CHECK(!line.view().empty());
}

}  // namespace
}  // namespace mesh

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  mesh::FuzzInput input(data, size);
  std::vector<std::string> variables;
  while (!input.empty()) variables.emplace_back(input.Until('\n'));
  std::vector<char*> environment;
  for (std::string& variable : variables) environment.push_back(variable.data());
  environment.push_back(nullptr);
  mesh::Options options;
  mesh::LoadOptions(environment.data(), mesh::OnProblem, &options);
  for (size_t i = 0; i < mesh::kOptionCount; i++) {
    const mesh::OptionSpec& spec = mesh::kOptionSpecs[i];
    mesh::CheckOption(spec, options.value(static_cast<mesh::OptionId>(i)));
    for (const std::string& variable : variables) {
      int64_t value = spec.default_value;
      if (mesh::ParseOptionValue(spec, variable, &value)) mesh::CheckOption(spec, value);
    }
  }
  return 0;
}
