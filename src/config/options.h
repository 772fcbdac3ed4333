// Options: what a user chose through the environment, read once at start-up without allocating.
//
// options.def is the table; this file makes types out of it. The values live in an Options object
// that `runtime` owns and hands down.
// Room: config. Thread rule: written while there is one thread, read-only afterwards.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <type_traits>

#include "src/base/writer.h"
#include "src/config/limits.h"

namespace mesh {

// Enumerators stand in the order of their choices in options.def.
enum class BarrierChoice : int64_t { kAuto, kSingle, kUserfault, kUserfaultUser, kSegv, kNone };
enum class BackgroundChoice : int64_t { kAuto, kNever, kAlways };
enum class ForkChoice : int64_t { kAuto, kNever, kAlways };
enum class RandomChoice : int64_t { kStart, kFull, kNone };

enum class OptionKind : uint8_t { kBool, kInt, kSize, kEnum, kText };

// Longest value of an option that is a text, in bytes.
inline constexpr size_t kMaxOptionText = 255;

struct OptionSpec {
  const char* environment;  // name of the variable
  const char* key;          // name for mallctl
  OptionKind kind;
  int64_t default_value;
  int64_t min;
  int64_t max;
  std::string_view choices;
  std::string_view sentence;
};

enum class OptionId : size_t {
#define MESH_OPTION(Type, field, ...) field,
#include "src/config/options.def"
#undef MESH_OPTION
};

template <typename Type>
constexpr OptionKind OptionKindOf() {
  if constexpr (std::is_same_v<Type, bool>) return OptionKind::kBool;
  if constexpr (std::is_enum_v<Type>) return OptionKind::kEnum;
  if constexpr (std::is_pointer_v<Type>) return OptionKind::kText;
  if constexpr (std::is_same_v<Type, size_t>) return OptionKind::kSize;
  return OptionKind::kInt;
}

// The table, in the order of OptionId.
inline constexpr OptionSpec kOptionSpecs[] = {
#define MESH_OPTION(Type, field, environment, default_value, min, max, choices, sentence) \
  {environment, "opt." #field, OptionKindOf<Type>(), default_value, min, max, choices, sentence},
#include "src/config/options.def"
#undef MESH_OPTION
};

inline constexpr size_t kOptionCount = sizeof(kOptionSpecs) / sizeof(kOptionSpecs[0]);

// All options with their values. Constant-initialised to the defaults, so it can be read before any
// constructor has run. A typed getter for each: options.period_ms(), options.barrier(), ...
class Options {
 public:
#define MESH_OPTION(Type, field, ...) \
  constexpr Type field() const { return As<Type>(OptionId::field); }
#include "src/config/options.def"
#undef MESH_OPTION

  constexpr int64_t value(OptionId id) const { return values_[static_cast<size_t>(id)]; }

  // The value of an option of kind kText; null: none.
  constexpr const char* text(OptionId) const { return text_[0] == '\0' ? nullptr : text_; }

  // Takes a value that ParseOptionValue() let pass.
  constexpr void SetValue(OptionId id, int64_t value) { values_[static_cast<size_t>(id)] = value; }

  // Takes at most kMaxOptionText bytes.
  constexpr void SetText(OptionId, std::string_view value) {
    size_t size = value.copy(text_, kMaxOptionText);
    text_[size] = '\0';
  }

 private:
  template <typename Type>
  constexpr Type As(OptionId id) const {
    if constexpr (std::is_pointer_v<Type>) {
      return text(id);
    } else {
      return static_cast<Type>(value(id));
    }
  }

  // A copy: programs write over their environment. One option is a text; see CountTexts().
  char text_[kMaxOptionText + 1] = {};
  int64_t values_[kOptionCount] = {
#define MESH_OPTION(Type, field, environment, default_value, ...) default_value,
#include "src/config/options.def"
#undef MESH_OPTION
  };
};

// Called for each variable whose value was refused; the default stays.
using OptionProblemHandler = void (*)(const OptionSpec& spec, std::string_view value);

// The handler for users: FormatOptionProblem()'s line on stderr.
void PrintOptionProblem(const OptionSpec& spec, std::string_view value);

// Reads a value as `spec` wants it. Returns: whether it is one; else `*value` is left alone.
bool ParseOptionValue(const OptionSpec& spec, std::string_view text, int64_t* value);

// The i-th choice of an enum, or an empty text beyond the last.
std::string_view OptionChoice(const OptionSpec& spec, int64_t index);

// What a variable may hold, as words: "a whole number from 0 to 2".
void DescribeAccepted(const OptionSpec& spec, LineWriter* out);

// A value as a user would write it: a number, or an enum's choice.
void FormatOptionValue(const OptionSpec& spec, int64_t value, LineWriter* out);

// The line about a refused value: name, value, what is accepted and what is used instead.
void FormatOptionProblem(const OptionSpec& spec, std::string_view value, LineWriter* out);

// Sets each option that `environment` names; an empty value counts as not set, and of several
// variables with one name the first counts, as with getenv.
// Args: environment: NAME=value texts, ended by a null pointer; null for none.
// Allocates nothing and takes no lock; safe before libc's constructors.
void LoadOptions(char* const* environment, OptionProblemHandler problem, Options* options);

}  // namespace mesh
