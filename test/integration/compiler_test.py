"""gcc and clang compile a large file: big processes with millions of objects of every size."""

import pathlib

import pytest

from . import harness

CLASSES = 30

_HEAD = """
#include <algorithm>
#include <map>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>
template <int N> struct Chain {
  static int Sum(int x) { return x * N + Chain<N - 1>::Sum(x ^ N); }
};
template <> struct Chain<0> { static int Sum(int x) { return x; } };
"""

_CLASS = """
class Class{n} {{
 public:
  explicit Class{n}(std::string name) : name_(std::move(name)) {{
    values_[name_] = {{{n}, {n} + 1}};
  }}
  int Work(const std::vector<int>& input) {{
    std::unordered_map<int, std::shared_ptr<std::string>> seen;
    for (int value : input) {{
      if (value % ({n} + 2) == 0) seen.emplace(value, std::make_shared<std::string>(name_ + "x"));
      values_["k" + std::to_string(value)].push_back(Chain<{n} + 20>::Sum(value));
    }}
    std::vector<std::string> keys;
    for (auto& [key, list] : values_) {{
      std::sort(list.begin(), list.end(), [](int a, int b) {{ return a % {n}7 < b % {n}7; }});
      keys.push_back(key);
    }}
    return static_cast<int>(keys.size() + seen.size());
  }}
 private:
  std::string name_;
  std::map<std::string, std::vector<int>> values_;
}};
int Use{n}(const std::vector<int>& input) {{ return Class{n}("name{n}").Work(input); }}
"""


@pytest.mark.parametrize("compiler", ["g++", "clang++"])
def test_compile(compiler: str, root: pathlib.Path, repeats: int) -> None:
    """Object code, assembler text and diagnostics are the same to the last byte."""
    path = harness.program(compiler)
    source = _HEAD + "".join(_CLASS.format(n=n) for n in range(1, CLASSES + 1))

    def scenario(sandbox: harness.Sandbox) -> None:
        sandbox.write("large.cc", source)
        sandbox.write("wrong.cc", source + "int Broken() { return Class1(2).Missing(3) + ; }\n")
        sandbox.run(path, "-std=c++17", "-O1", "-g", "-c", "large.cc", "-o", "large.o")
        sandbox.observe("object code", (sandbox.root / "large.o").read_bytes())
        sandbox.run(path, "-std=c++17", "-fsyntax-only", "wrong.cc", status=1)

    harness.expect_same(scenario, root, repeats)
