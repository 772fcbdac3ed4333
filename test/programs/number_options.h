// Options of the form --name=N, for programs whose options are all whole numbers or switches.
//
// Header only; allocates nothing.
#ifndef TEST_PROGRAMS_NUMBER_OPTIONS_H_
#define TEST_PROGRAMS_NUMBER_OPTIONS_H_

#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <span>

// `name` with its dashes and without the '='. A switch takes no number: it sets 1.
struct NumberOption {
  const char* name;
  std::uint64_t* value;
  std::uint64_t min;
  std::uint64_t max;
  bool is_switch = false;
};

inline bool TakeOption(const char* argument, const NumberOption& option) {
  const std::size_t length = std::strlen(option.name);
  if (std::strncmp(argument, option.name, length) != 0) return false;
  if (option.is_switch) {
    *option.value = 1;
    return argument[length] == '\0';
  }
  if (argument[length] != '=') return false;
  const char* digits = argument + length + 1;
  char* end = nullptr;
  const std::uint64_t value = std::strtoull(digits, &end, 10);
  if (*digits < '0' || *digits > '9' || *end != '\0') return false;
  *option.value = value;
  return value >= option.min && value <= option.max;
}

// Ends the program with status 2 and one line on stderr at the first argument that is none of
// `options`, or is out of its bounds.
inline void ParseNumberOptions(int argc, char** argv, std::span<const NumberOption> options) {
  for (int i = 1; i < argc; ++i) {
    bool taken = false;
    for (const NumberOption& option : options) taken = taken || TakeOption(argv[i], option);
    if (taken) continue;
    std::fprintf(stderr, "%s: bad option %s; known:", program_invocation_short_name, argv[i]);
    for (const NumberOption& option : options) {
      std::fprintf(stderr, " %s%s", option.name, option.is_switch ? "" : "=N");
    }
    std::fprintf(stderr, "\n");
    std::exit(2);
  }
}

#endif  // TEST_PROGRAMS_NUMBER_OPTIONS_H_
